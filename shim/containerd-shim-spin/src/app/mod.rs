//! The app's process, inside its container: reads its plan, builds the app, waits for the start, listens, says so, serves, drains, ends.

mod last_words;
mod logger;
mod serve;
mod settings;
mod volumes;

use std::ffi::{CStr, OsString};
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use spin_runtime::output;

use crate::link::{Link, Report};
use crate::plan::Plan;
use crate::sys;

pub use settings::workers;

/// The argument that asks for this part, as Rust's own arguments come.
pub const VERB: &str = "--app";
/// The same for exec.
pub const ARGUMENT: &CStr = c"--app";
/// How long the process waits for a reader of its output before it ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs the app of the plan that comes through the first socket whose number is given; the second is the link.
pub fn main(args: &[OsString]) -> ExitCode {
    let mut sockets = args.iter().filter_map(|number| sys::inherited_fd(number.to_str()?.parse().ok()?).ok());
    let (Some(plan), Some(link)) = (sockets.next(), sockets.next()) else {
        eprintln!("containerd-shim-spin-v2: {VERB} is for containers");
        return ExitCode::FAILURE;
    };
    allow_as_many_files_as_may_be();
    let (plan, mut descriptors) = match Plan::receive(&plan.into()) {
        Ok(received) => received,
        Err(error) => {
            eprintln!("receiving the plan: {error}");
            return ExitCode::FAILURE;
        }
    };
    let link = Link::new(link);
    logger::start();
    let code = match serve::run(plan.outcome, &mut descriptors, &link) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            last_words::say(&failure.message, &plan.termination_log);
            link.send(&Report::Failed { code: failure.code, message: failure.message });
            ExitCode::from(failure.code)
        }
    };
    // The last lines tell why the process ends.
    output::flush(FLUSH_TIMEOUT);
    code
}

/// Connections are files, and so is what comes with the plan; the limit that programs begin with is often 1024, for those that can't have more.
fn allow_as_many_files_as_may_be() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _as_before = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
