//! Logging programs: what a process writes goes to a program of the node, which containerd's client names by a URI
//! `binary:///PATH?KEY=VALUE` (containerd's `docs/runtime-v2`, "Logging"). nerdctl's own logging is such a program.
//!
//! | descriptor | of the program |
//! |---|---|
//! | 3 | what the process writes to its standard output |
//! | 4 | the same of its standard error |
//! | 5 | a pipe: the program closes it once it is ready, or writes a byte to it (`binary-v2`: it must write one) |

use std::io::{self, pipe};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::oneshot;
use tokio::time::timeout;
use url::Url;

use super::error::TaskError;
use super::reaper::{Exit, Reaper};
use crate::sys;

/// How long a program may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take to end after it could read the last of the output.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// A logging program, as the URI of a stream names it.
#[derive(Debug, PartialEq)]
struct Program {
    path: PathBuf,
    args: Vec<String>,
    /// Whether it has to say that it is ready.
    speaks: bool,
}

/// A logging program that runs. It is killed where this is dropped before its end.
#[derive(Debug)]
pub struct Logger {
    process: OwnedFd,
    ended: Option<oneshot::Receiver<Exit>>,
}

/// Where a process writes whose output a logging program reads: standard output and standard error.
pub type Outputs = [OwnedFd; 2];

impl Program {
    /// Reads the URI of a stream; `None` where it names no program.
    fn of(uri: &str) -> Result<Option<Self>, TaskError> {
        let speaks = match uri.split_once("://") {
            Some(("binary", _)) => false,
            Some(("binary-v2", _)) => true,
            _ => return Ok(None),
        };
        let invalid = |reason: &str| TaskError::Invalid(format!("{uri:?} names no logging program: {reason}"));
        let url = Url::parse(uri).map_err(|error| invalid(&error.to_string()))?;
        let path = url.to_file_path().map_err(|()| invalid("it has no absolute path"))?;
        let mut args: Vec<String> = Vec::new();
        for (key, value) in url.query_pairs() {
            // As containerd's own shim: of several values of a key, the first one.
            if !args.iter().step_by(2).any(|known| *known == key) {
                args.extend([key.into_owned(), value.into_owned()]);
            }
        }
        Ok(Some(Self { path, args, speaks }))
    }
}

impl Logger {
    /// Starts the program that the URI of a standard output names, for the process of this id, and waits until it is ready; `None`
    /// where it names none.
    pub async fn start(uri: &str, id: &str, namespace: &str, reaper: &Reaper) -> Result<Option<(Self, Outputs)>, TaskError> {
        let Some(program) = Program::of(uri)? else { return Ok(None) };
        let name = program.path.display().to_string();
        let failed = |error: io::Error| TaskError::Container(format!("the logging program {name}: {error}"));
        let [(stdout, out), (stderr, err), (ready, is_ready)] =
            [pipe().map_err(failed)?, pipe().map_err(failed)?, pipe().map_err(failed)?];
        let mut command = Command::new(&program.path);
        command.args(&program.args).env_clear().env("CONTAINER_ID", id).env("CONTAINER_NAMESPACE", namespace);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        sys::pass_from_3(&mut command, [stdout.into(), stderr.into(), is_ready.into()]);
        let child = command.spawn().map_err(failed)?;
        // It has the program's ends.
        drop(command);
        let logger = Self {
            process: reaper.handle_of(child.id()).map_err(failed)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?,
            ended: Some(reaper.exit_of(child.id())),
        };
        let mut ready = Receiver::from_owned_fd(ready.into()).map_err(failed)?;
        match timeout(READY_TIMEOUT, ready.read(&mut [0])).await {
            Ok(Ok(0)) if program.speaks => Err(TaskError::Container(format!("the logging program {name} did not become ready"))),
            Ok(Ok(_)) => Ok(Some((logger, [out.into(), err.into()]))),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(TaskError::Container(format!("the logging program {name} was not ready after {READY_TIMEOUT:?}"))),
        }
    }

    /// Waits until it has ended, because nobody has [`Outputs`] any more. One that goes on is killed.
    pub async fn finish(mut self) {
        if let Some(ended) = &mut self.ended
            && timeout(END_TIMEOUT, ended).await.is_ok()
        {
            self.ended = None;
        }
    }
}

impl Drop for Logger {
    fn drop(&mut self) {
        if self.ended.is_some() {
            let _ended_already = sys::signal(self.process.as_fd(), Signal::KILL.as_raw().cast_unsigned());
        }
    }
}

/// The descriptors, to be sent with an order.
pub fn borrowed(outputs: Option<&Outputs>) -> Vec<BorrowedFd<'_>> {
    outputs.into_iter().flatten().map(AsFd::as_fd).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uri_names_a_program_and_its_arguments() {
        let program = |uri| Program::of(uri).expect("a good URI");
        let args = |list: &[&str]| list.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>();
        let nerdctl = program("binary:///usr/bin/nerdctl?_NERDCTL_INTERNAL_LOGGING=%2Fvar%2Flib%2Fnerdctl").expect("a program");
        assert_eq!(nerdctl.path.to_str(), Some("/usr/bin/nerdctl"));
        assert_eq!((nerdctl.args, nerdctl.speaks), (args(&["_NERDCTL_INTERNAL_LOGGING", "/var/lib/nerdctl"]), false));
        let second = program("binary-v2:///a%20b?x=1&x=2&y").expect("a program");
        assert_eq!(second, Program { path: "/a b".into(), args: args(&["x", "1", "y", ""]), speaks: true });
        for other in ["", "/run/fifo", "fifo:///run/fifo", "file:///log"] {
            assert_eq!(program(other), None, "{other:?}");
        }
    }

    #[test]
    fn uri_without_a_path_is_refused() {
        for uri in ["binary://", "binary://host/program", "binary://[/program"] {
            let error = Program::of(uri).expect_err(uri);
            assert!(error.to_string().contains("names no logging program"), "{error}");
        }
    }
}
