//! The app's process, inside its container: reads its plan, builds the app, listens, says so, serves, drains, ends.

mod last_words;
mod serve;
mod settings;

use std::ffi::{CStr, OsString};
use std::process::ExitCode;

use crate::plan::{Outcome, Plan};
use crate::report::{Report, Reporter};
use crate::sys;
use settings::Settings;

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
    let reporter = match sys::inherited_fd(plan.report) {
        Ok(pipe) => Reporter::new(pipe),
        Err(error) => {
            eprintln!("the report pipe: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = match plan.outcome {
        Outcome::Failed(failure) => Err(failure),
        Outcome::Run(run) => {
            Settings::read(std::env::vars_os(), run.cpus).and_then(|settings| serve::run(*run, settings, &reporter))
        }
    };
    let Err(failure) = result else { return ExitCode::SUCCESS };
    last_words::say(&failure.message, &plan.termination_log);
    reporter.send(&Report::Failed { code: failure.code, message: failure.message });
    ExitCode::from(failure.code)
}
