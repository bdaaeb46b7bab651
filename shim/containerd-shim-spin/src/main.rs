//! containerd's shim for Spin apps: `containerd-shim-spin-v2`.
//!
//! One binary plays every part, each in a process of its own:
//!
//! | started by | arguments | part |
//! |---|---|---|
//! | containerd | `-info` | says what this runtime is |
//! | containerd | `… start` | finds or starts the daemon of the pod, prints its address; a copy of it is the daemon: the task service; supervises, and nothing else |
//! | containerd | `… delete` | removes what a dead daemon left behind |
//! | the daemon | `--helper FD` | makes one container, or runs one more program in it; short-lived and single-threaded |
//! | `--helper` | `--precompile PID` | compiles one component, confined |
//! | `--helper` | `--unpack PID` | unpacks one archive of files, confined |
//! | the container | `--app FD FD` | the Spin app itself, inside its container |

mod allocator;
mod app;
mod bundle;
mod confined;
mod create;
mod daemon;
mod exec;
mod helper;
mod precompile;
mod shim;
mod syscalls;
mod unpack;

use std::ffi::OsString;
use std::process::ExitCode;

use containerd_shim_spin::{cgroup, link, plan, stdio, sys, warnings};

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    match args.first().and_then(|verb| verb.to_str()) {
        Some(helper::VERB) => helper::main(&args[1..]),
        Some(app::VERB) => app::main(&args[1..]),
        Some(precompile::VERB) => precompile::main(&args[1..]),
        Some(unpack::VERB) => unpack::main(&args[1..]),
        _ => shim::main(&args),
    }
}
