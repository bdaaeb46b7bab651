//! The programs that are measured or measured with, and where they are.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::ptr;

use harness::shim;
use rustix::fs::{Advice, fadvise};
use rustix::mm::{Advice as MemoryAdvice, MapFlags, ProtFlags, madvise, mmap, munmap};

use crate::error::Error;

/// Read at a time, in bytes.
const PIECE: usize = 8 << 20;

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

/// runc's, which is containerd's own and among its programs.
pub fn runcs_shim(containerd: &Path) -> PathBuf {
    containerd.join("containerd-shim-runc-v2")
}

/// Has the kernel keep the programs that a start executes, of either runtime, in pieces as large as it can.
///
/// So they are kept where they were written in large pieces. What page faults brought into memory, after a boot or where memory was short, lies there in
/// single pages, and each process takes several times as long to have it mapped: a start would depend on what was done on the machine before.
pub fn in_large_pieces(containerd: &Path) -> Result<(), Error> {
    let runc = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|dir| dir.join("runc"))
        .find(|runc| runc.is_file());
    let programs = [containerd.join("ctr"), runcs_shim(containerd), shim::program()];
    programs.into_iter().chain(runc).try_for_each(|program| renew(&program).map_err(Error::io(program)))
}

/// Has a file out of memory, as far as nobody has it mapped, and in again.
fn renew(path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    // What is still to be written stays.
    file.sync_data()?;
    fadvise(&file, 0, None, Advice::DontNeed)?;
    if populate(&file).is_err() {
        // A kernel without large pages, or from before Linux 5.14.
        let mut piece = vec![0; PIECE];
        while file.read(&mut piece)? > 0 {}
    }
    Ok(())
}

fn populate(file: &File) -> io::Result<()> {
    let Ok(length) = usize::try_from(file.metadata()?.len()) else { return Err(io::ErrorKind::FileTooLarge.into()) };
    // SAFETY: a mapping of its own, where the kernel likes, that nobody reads through, and that is gone before this returns.
    unsafe {
        let mapped = mmap(ptr::null_mut(), length, ProtFlags::READ, MapFlags::PRIVATE, file, 0)?;
        let populated = madvise(mapped, length, MemoryAdvice::LinuxHugepage)
            .and_then(|()| madvise(mapped, length, MemoryAdvice::LinuxPopulateRead));
        munmap(mapped, length)?;
        Ok(populated?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_in_memory_again_to_its_end() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(3 * PIECE as u64 + 1).expect("made longer");
        renew(file.path()).expect("read");
        let told = harness::process::run(std::process::Command::new("fincore").args(["-bno", "RES"]).arg(file.path()));
        assert!(told.trim().parse::<u64>().expect("a number") > 3 * PIECE as u64, "{told}");
    }
}
