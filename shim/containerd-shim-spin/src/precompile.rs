//! Compiling in a process of its own: it takes hundreds of megabytes and every processor, and the node may kill it without harm.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, parent_id};
use std::process::{Command, ExitCode, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Signal, set_parent_process_death_signal};
use spin_runtime::precompile::precompile;

use crate::allocator;
use crate::plan::Failure;

/// The argument that asks for this part. Wasm comes in on stdin, code goes out on stdout, a sentence on stderr where there is none.
pub const VERB: &str = "--precompile";
/// Of a sentence.
const LONGEST: u64 = 16 * 1024;

/// Has a child compile these bytes into the file.
pub fn in_a_child(wasm: &[u8], target: &mut File) -> Result<(), Failure> {
    let failed = Failure::internal("starting the compiler");
    let mut child = spawn(wasm, target).map_err(failed)?;
    let mut sentence = String::new();
    if let Some(stderr) = child.stderr.take() {
        let _garbled = stderr.take(LONGEST).read_to_string(&mut sentence);
    }
    let status = child.wait().map_err(Failure::internal("waiting for the compiler"))?;
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(0) => Ok(()),
        Some(code) if !sentence.trim().is_empty() => Err(Failure::new(code, sentence.trim())),
        _ => Err(Failure::new(Failure::INTERNAL, format!("the compiler ended by itself ({status}); the node may lack memory"))),
    }
}

fn spawn(wasm: &[u8], target: &File) -> io::Result<std::process::Child> {
    let mut source = File::from(memfd_create("wasm", MemfdFlags::CLOEXEC)?);
    source.write_all(wasm)?;
    source.rewind()?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("containerd-shim-spin-v2").arg(VERB).arg(std::process::id().to_string());
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    command.env_clear().env(allocator::SETTINGS, allocator::settings(threads));
    command.stdin(source).stdout(target.try_clone()?).stderr(Stdio::piped()).spawn()
}

/// The child: compiles, unless its parent ends first.
pub fn main(args: &[OsString]) -> ExitCode {
    let parent = args.first().and_then(|pid| pid.to_str()).and_then(|pid| pid.parse().ok());
    let _never_fails = set_parent_process_death_signal(Some(Signal::KILL));
    if parent != Some(parent_id()) {
        return ExitCode::FAILURE;
    }
    // If the node runs out of memory, this is the one to go.
    let _not_allowed = std::fs::write("/proc/self/oom_score_adj", "1000");
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.code)
        }
    }
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
