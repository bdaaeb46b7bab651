//! Compiling in a process of its own, confined ([`crate::confined`]): it takes hundreds of megabytes and every processor, and the node may end it
//! without harm.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::process::ExitCode;

use rustix::fs::{MemfdFlags, memfd_create};
use spin_runtime::precompile::precompile;

use crate::allocator;
use crate::confined::{self, Limits};
use crate::plan::Failure;

/// The argument that asks for this part. Wasm comes in on stdin, code goes out on stdout, a sentence on stderr where there is none.
pub const VERB: &str = "--precompile";

const LIMITS: Limits = Limits { memory: 4 << 30, processor_seconds: 600, file: 2 << 30 };

/// Has a child compile these bytes; returns a memory file with the code.
pub fn in_a_child(wasm: &[u8]) -> Result<File, Failure> {
    let start = || -> io::Result<_> {
        let mut source = memory_file("wasm")?;
        source.write_all(wasm)?;
        source.rewind()?;
        let code = memory_file("code")?;
        // Asked here: the child can't look at the limits of its cgroup.
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let env = (allocator::SETTINGS, allocator::settings(threads));
        Ok((confined::spawn(VERB, (env.0, &env.1), source.into(), code.try_clone()?.into())?, code))
    };
    let (child, code) = start().map_err(Failure::internal("starting the compiler"))?;
    confined::wait(child, "the compiler")?;
    Ok(code)
}

fn memory_file(name: &str) -> io::Result<File> {
    Ok(memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?.into())
}

/// The child.
pub fn main(args: &[OsString]) -> ExitCode {
    confined::main(args, &LIMITS, run)
}

fn run() -> Result<(), Failure> {
    // As a file, whose length is known: what is read by pieces is copied again and again as it grows.
    let source = io::stdin().as_fd().try_clone_to_owned().map(File::from);
    let mut wasm = Vec::new();
    source.and_then(|mut source| source.read_to_end(&mut wasm)).map_err(Failure::internal("reading wasm"))?;
    let code = precompile(&wasm).map_err(|error| Failure::new(error.exit_code(), error))?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(&code).and_then(|()| stdout.flush()).map_err(Failure::internal("writing code"))
}
