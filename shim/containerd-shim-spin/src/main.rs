//! containerd's shim for Spin apps: `containerd-shim-spin-v2`.
//!
//! One binary plays every part, each in a process of its own:
//!
//! | started by | arguments | part |
//! |---|---|---|
//! | containerd | `-info` | says what this runtime is |
//! | containerd | `… start` | finds or starts the daemon of the pod, prints its address |
//! | containerd | `… delete` | removes what a dead daemon left behind |
//! | `start` | `… -socket ADDRESS` | the daemon of one pod: the task service; supervises, and nothing else |
//! | the daemon | `--create FD` | makes one container, short-lived and single-threaded |
//! | the daemon | `--exec FD FILE` | likewise runs one more program in a container |
//! | `--create` | `--precompile PID` | compiles one component |
//! | the container | `--app FD` | the Spin app itself, inside its container |

mod allocator;
mod app;
mod bundle;
mod cgroup;
mod create;
mod daemon;
mod exec;
mod plan;
mod precompile;
mod report;
mod shim;
mod sys;

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    match args.first().and_then(|verb| verb.to_str()) {
        Some(create::VERB) => create::main(&args[1..]),
        Some(app::VERB) => app::main(&args[1..]),
        Some(exec::VERB) => exec::main(&args[1..]),
        Some(precompile::VERB) => precompile::main(&args[1..]),
        _ => shim::main(&args),
    }
}
