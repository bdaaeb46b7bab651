//! The app's process, inside its container: reads its plan, restricts itself, builds the app, waits for the start, listens, says so, serves, drains, ends.

mod last_words;
mod logger;
mod serve;
mod settings;
mod volumes;
mod wall;

use std::ffi::{CStr, OsString};
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use spin_runtime::output;

use crate::link::{Link, Report};
use crate::plan::{Failure, Plan};
use crate::sys;

use last_words::LastWords;
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
    logger::start();
    let reporter = Reporter { link: Link::new(link), last_words: LastWords::open(&plan.termination_log) };
    let code = serve::run(plan.outcome, &mut descriptors, reporter);
    // The last lines tell why the process ends.
    output::flush(FLUSH_TIMEOUT);
    code
}

/// Reports how the start went, once. With the report the termination log is closed, and so is the way to the daemon: an app that
/// serves needs neither, and a guest that breaks out of the engine shall not have them. The way from the daemon stays.
struct Reporter {
    link: Link,
    last_words: LastWords,
}

impl Reporter {
    /// The app listens.
    fn ready(self) {
        self.link.send(&Report::Ready);
        let _daemon_has_ended = self.link.shut_down_sending();
    }

    /// The app can't run. Returns its exit code.
    fn failed(self, failure: Failure) -> ExitCode {
        let Failure { code, message } = failure;
        self.last_words.say(&message);
        self.link.send(&Report::Failed { code, message });
        ExitCode::from(code)
    }
}

/// Connections are files, and so is what comes with the plan; the limit that programs begin with is often 1024, for those that can't have more.
fn allow_as_many_files_as_may_be() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _as_before = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
