//! Loading precompiled code: the only place where bytes become instructions of this process without being checked one by one.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cache::SEAL_BYTES;
use crate::engine::Abi;

/// A file of precompiled code is an object file in the engine's own format, which ignores what follows its sections; then this byte, which says for
/// which engine it was made; then the cache's seal.
const SYNC: u8 = b's';
const ASYNC: u8 = b'a';

/// The content of a file with code made by the engine of that ABI; the seal is still empty.
pub(crate) fn unsealed(mut code: Vec<u8>, abi: Abi) -> Vec<u8> {
    code.push(match abi {
        Abi::Sync => SYNC,
        Abi::Async => ASYNC,
    });
    code.extend([0; SEAL_BYTES]);
    code
}

/// The precompiled code of a component, in an open file.
pub(crate) struct Code {
    file: File,
    /// Of the engines that it is for.
    pub(crate) abi: Abi,
}

impl Code {
    /// Of a file of the node cache, whose seal was verified by the process that opened it.
    pub(crate) fn new(mut file: File) -> io::Result<Self> {
        let mut mark = [0];
        file.seek(SeekFrom::End(-1 - SEAL_BYTES as i64))?;
        file.read_exact(&mut mark)?;
        let abi = match mark {
            [SYNC] => Abi::Sync,
            [ASYNC] => Abi::Async,
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not marked")),
        };
        Ok(Self { file, abi })
    }

    /// Loads it into an engine of its ABI.
    ///
    /// The file is mapped, so that processes running the same code share its pages. Where it can't be (no /proc, a file system mounted noexec) it
    /// is read.
    pub(crate) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        // SAFETY: the bytes were made by `precompile` of this very version and reached us as an open file of the node cache: a directory only root
        // can enter, files that carry a seal which was verified when this one was opened, and descriptors that nobody can write through (see
        // `cache`). The engine refuses code of another engine by itself.
        match unsafe { Component::deserialize_file(engine, path) } {
            Ok(component) => Ok(component),
            Err(error) => {
                log::debug!("precompiled code can't be mapped: {error:#}");
                let (mut file, mut bytes) = (&self.file, Vec::new());
                file.rewind().and_then(|()| file.read_to_end(&mut bytes))?;
                // SAFETY: as above, the same file.
                unsafe { Component::deserialize(engine, bytes) }
            }
        }
    }
}
