//! The app's process, inside its container: reads its plan, builds the app, waits for the start, listens, says so, serves, drains, ends.

mod last_words;
mod serve;
mod settings;

use std::ffi::{CStr, OsString};
use std::process::ExitCode;

use crate::link::{Link, Report};
use crate::plan::Plan;
use crate::sys;

pub use settings::workers;

/// The argument that asks for this part, as Rust's own arguments come.
pub const VERB: &str = "--app";
/// The same for exec.
pub const ARGUMENT: &CStr = c"--app";

/// Runs the app of the plan whose descriptor's number is given.
pub fn main(args: &[OsString]) -> ExitCode {
    let number = args.first().and_then(|number| number.to_str()).and_then(|number| number.parse().ok());
    let plan = number.map(|number| sys::inherited_fd(number).and_then(Plan::from_file));
    let Some(Ok(plan)) = plan else {
        eprintln!("containerd-shim-spin-v2: {VERB} is for containers");
        return ExitCode::FAILURE;
    };
    let link = match sys::inherited_fd(plan.link) {
        Ok(socket) => Link::new(socket),
        Err(error) => {
            eprintln!("the link to the daemon: {error}");
            return ExitCode::FAILURE;
        }
    };
    let Err(failure) = serve::run(plan.outcome, &link) else { return ExitCode::SUCCESS };
    last_words::say(&failure.message, &plan.termination_log);
    link.send(&Report::Failed { code: failure.code, message: failure.message });
    ExitCode::from(failure.code)
}
