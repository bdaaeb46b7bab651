//! The programs that are measured or measured with, and where they are.

use std::io;
use std::path::PathBuf;

use crate::error::Error;

/// Programs that are not found by the harness's own environment variables.
#[derive(Debug)]
pub struct Programs {
    /// The native server, built with the bench and beside it.
    pub native: PathBuf,
    /// wasmtime's command line tool; without it there is no such peer.
    pub wasmtime: Option<PathBuf>,
}

impl Programs {
    /// Finds the native server.
    pub fn find(wasmtime: Option<PathBuf>) -> Result<Self, Error> {
        let this = std::env::current_exe().map_err(Error::io("/proc/self/exe"))?;
        let native = this.with_file_name("hello-native");
        if !native.exists() {
            return Err(Error::Io { path: native, source: io::ErrorKind::NotFound.into() });
        }
        Ok(Self { native, wasmtime })
    }
}
