//! What the daemon and the processes at work for it tell each other, on one socket: JSON values, one a line.
//!
//! The far end passes from the helper to the container's first process, and closes by itself when that runs a foreign program. So the daemon
//! learns everything from one reader: a line, or the end.

use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use oci_spec::runtime::LinuxResources;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use crate::cgroup::Cgroup;
use crate::stdio::Paths;
use crate::sys;
use crate::warnings;

/// The longest line either side reads: the container's process may be compromised when it writes.
pub const LONGEST: u64 = 64 * 1024;

/// To a helper: its work. It may have been started long before there was any.
#[derive(Debug, Deserialize, Serialize)]
pub struct Order {
    /// Of the container.
    pub bundle: PathBuf,
    /// Of the process that is to run. Pipes to its logging program, where it has one, are the last descriptors that come with the
    /// order: standard output and standard error.
    pub streams: Paths,
    /// What to do.
    pub work: Work,
}

impl Order {
    /// Reads a line of the link, with or without its newline.
    pub fn parse(line: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(line)
    }
}

/// What a helper can do.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Make the container.
    Create,
    /// Run one more program in it.
    Exec(Program),
    /// Set new limits in the container's cgroup.
    Update(Cgroup, Box<LinuxResources>),
    /// Run the hooks of a stage; of a container that runs, with its init process as the daemon sees it.
    Hooks(Stage, Option<u32>),
}

/// Hooks that are run after a container was created.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Its program was executed.
    PostStart,
    /// It was deleted.
    PostStop,
}

/// Which of those a container has.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct LaterHooks {
    /// Some for its start.
    pub post_start: bool,
    /// Some for its deletion.
    pub post_stop: bool,
}

/// A program for a container that runs. A pidfd of the container's init process comes with it, as the first descriptor.
#[derive(Debug, Deserialize, Serialize)]
pub struct Program {
    /// The file that describes its process.
    pub file: PathBuf,
    /// The container's init process, as the daemon sees it.
    pub init: u32,
    /// The container's cgroup.
    pub cgroup: Cgroup,
}

/// To the app, once its container is created.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// The container is started.
    Start,
    /// The container's limits have changed.
    Resize {
        /// How many processors its quota amounts to; none: it has no quota.
        cpus: Option<f64>,
    },
}

impl Command {
    /// As a line of the link.
    pub fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// To the daemon.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The helper: the container exists and waits for its start.
    Created {
        /// Of its first process, as the daemon sees it.
        pid: u32,
        /// What runs in it.
        workload: Workload,
        /// Where its processes are counted and limited.
        cgroup: Cgroup,
        /// Whether there are hooks to run later.
        hooks: LaterHooks,
    },
    /// The helper: the limits are set, or the hooks were run.
    Done,
    /// The helper: one more program runs in the container.
    Executed {
        /// Its process, as the daemon sees it.
        pid: u32,
    },
    /// The helper: something for the node's log; more follows.
    Warning {
        /// The sentence.
        message: String,
    },
    /// The helper: there will be no container. The container's process: the program can't be executed.
    Error {
        /// For whoever asked containerd.
        message: String,
    },
    /// The app: every listener is bound, every subscription is checked.
    Ready,
    /// The app: it can't run; it said so on its stderr and ends with this code.
    Failed {
        /// Its exit code.
        code: u8,
        /// The same sentence, for the node's log.
        message: String,
    },
}

impl Report {
    /// Reads a line of the link, with or without its newline. The container's process may have written anything.
    pub fn parse(line: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(line)
    }
}

/// What runs in a container, and so what its start takes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// The pod's own process, to which other containers will come. Like any program it runs once it is executed.
    Sandbox,
    /// A program.
    Native,
    /// A Spin app, which waits for its start by itself, and says when it is ready.
    Spin,
    /// A Spin app that is executed only by the start, because hooks are to run before.
    HookedSpin,
}

/// The far end.
#[derive(Debug)]
pub struct Link(UnixStream);

impl Link {
    /// Speaks through this socket.
    pub fn new(socket: OwnedFd) -> Self {
        Self(socket.into())
    }

    /// Waits for work, and the descriptors that come with it; none where the daemon ends without having any.
    pub fn order(&self) -> io::Result<Option<(Order, Vec<OwnedFd>)>> {
        let (mut line, mut fds) = (Vec::new(), Vec::new());
        // Nothing but the order is under way, so nothing more is read than that.
        while line.last() != Some(&b'\n') && (line.len() as u64) < LONGEST {
            let mut bytes = [0; 4096];
            match sys::receive(self.0.as_fd(), &mut bytes, &mut fds)? {
                0 => break,
                count => line.extend_from_slice(&bytes[..count]),
            }
        }
        if line.is_empty() { Ok(None) } else { Ok(Some((Order::parse(&line)?, fds))) }
    }

    /// What the daemon sends the app. Only once: what was read is gone.
    pub fn commands(&self) -> io::Result<Commands> {
        let socket = self.0.try_clone()?;
        socket.set_nonblocking(true)?;
        Ok(Commands(BufReader::with_capacity(256, tokio::net::UnixStream::from_std(socket)?)))
    }

    /// Gives up sending, for good and for all handles.
    pub fn shut_down_sending(&self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    /// Sends one line; the daemon's death is no reason to stop, so nothing comes of a failure.
    pub fn send(&self, report: &Report) {
        let mut line = serde_json::to_vec(report).unwrap_or_default();
        line.push(b'\n');
        let _gone = (&self.0).write_all(&line);
    }

    /// Another handle, for a process to come.
    pub fn duplicate(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Its socket, to be handed on.
    pub fn socket(&self) -> &UnixStream {
        &self.0
    }

    /// Has the daemon write what our crates log in this process, from warnings on, to the node's log.
    pub fn log(&self) -> io::Result<()> {
        log::set_max_level(log::LevelFilter::Warn);
        // Only the first logger of a process counts, and its copies have it too.
        let _set_already = log::set_boxed_logger(Box::new(Logger(self.duplicate()?)));
        Ok(())
    }
}

/// What the daemon sends the app, one after the other.
#[derive(Debug)]
pub struct Commands(BufReader<tokio::net::UnixStream>);

impl Commands {
    /// The next one; an error at the daemon's end.
    pub async fn next(&mut self) -> io::Result<Command> {
        let mut line = Vec::new();
        match (&mut self.0).take(LONGEST).read_until(b'\n', &mut line).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(serde_json::from_slice(&line)?),
        }
    }
}

/// A logger that reports to the daemon.
struct Logger(Link);

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        warnings::is_ours(metadata)
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.send(&Report::Warning { message: record.args().to_string() });
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (UnixStream, Link) {
        let (near, far) = UnixStream::pair().expect("a pair");
        (near, Link(far))
    }

    #[test]
    fn an_order_arrives_as_it_was_sent_and_none_when_the_daemon_ends() {
        let (near, link) = pair();
        let streams = Paths { stdout: "/run/fifo".into(), ..Paths::default() };
        let program = Program { file: "exec-1.json".into(), init: 7, cgroup: Cgroup::default() };
        let order = Order { bundle: "/run/bundle".into(), streams, work: Work::Exec(program) };
        let line = format!("{}\n", serde_json::to_string(&order).expect("encodes"));
        let file = tempfile::tempfile().expect("a file");
        sys::send(near.as_fd(), line.as_bytes(), &[file.as_fd()]).expect("sent");
        let (arrived, fds) = link.order().expect("read").expect("an order");
        assert_eq!((format!("{arrived:?}"), fds.len()), (format!("{order:?}"), 1));
        drop(near);
        assert!(link.order().expect("read").is_none());
    }

    #[tokio::test]
    async fn commands_arrive_in_their_order_and_the_end_of_the_daemon_is_none() {
        let (mut near, link) = pair();
        let sent = [Command::Resize { cpus: Some(0.5) }, Command::Start, Command::Resize { cpus: None }];
        sent.iter().for_each(|command| near.write_all(&command.line()).expect("sent"));
        let mut commands = link.commands().expect("a socket");
        for command in sent {
            assert_eq!(commands.next().await.expect("sent before"), command);
        }
        drop(near);
        commands.next().await.expect_err("the end");
    }

    #[tokio::test]
    async fn app_that_has_shut_down_sending_hears_commands_and_reports_nothing() {
        let (mut near, link) = pair();
        let mut commands = link.commands().expect("a socket");
        link.shut_down_sending().expect("shut down");
        link.send(&Report::Ready);
        assert_eq!(io::read_to_string(&near).expect("its end"), "");
        near.write_all(&Command::Start.line()).expect("sent");
        assert_eq!(commands.next().await.expect("sent before"), Command::Start);
    }
}
