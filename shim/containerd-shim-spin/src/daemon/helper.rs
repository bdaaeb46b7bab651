//! Starts the processes that do the daemon's work, orders it, and listens to what they report.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream as Pair;
use std::os::unix::process::CommandExt;
use std::pin::pin;
use std::process::{Command, Stdio};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{Shutdown, shutdown};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use super::reaper::Exit;
use crate::helper::VERB;
use crate::link::{LONGEST, Link, Order, Report, START};
use crate::sys::{self, Fork};

/// A process that has work to do, or waits for some.
#[derive(Debug)]
pub struct Helper {
    /// Of its process.
    pub pid: u32,
    /// What it and the container's process say.
    pub line: Line,
}

/// The near end of a link.
#[derive(Debug)]
pub struct Line(BufReader<UnixStream>);

/// A helper that the daemon's runtime does not know yet.
#[derive(Debug)]
pub struct Started {
    pid: u32,
    near: Pair,
}

/// Which part a process has after the daemon copied itself.
pub enum Part {
    /// The daemon still.
    Daemon(Started),
    /// The helper.
    Helper(Link),
}

/// The first helper: a copy of this process, which must have nothing yet that a helper should not have.
pub fn first() -> io::Result<Part> {
    let (near, far) = Pair::pair()?;
    Ok(match sys::fork()? {
        Fork::Parent(pid) => Part::Daemon(Started { pid, near }),
        Fork::Child => Part::Helper(Link::new(far.into())),
    })
}

/// Any other: this very binary with another part to play.
fn execute() -> io::Result<Started> {
    let (near, far) = Pair::pair()?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("containerd-shim-spin-v2").arg(VERB).arg(far.as_raw_fd().to_string());
    // No working directory: with one, the standard library copies this process instead of lending it.
    command.env_clear().process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Nothing else is started meanwhile: the daemon starts programs on one thread alone, and doesn't wait here.
    fcntl_setfd(&far, FdFlags::empty())?;
    let child = command.spawn()?;
    Ok(Started { pid: child.id(), near })
}

impl Started {
    /// Puts it in the runtime's care.
    pub fn heard(self) -> io::Result<Helper> {
        self.near.set_nonblocking(true)?;
        Ok(Helper { pid: self.pid, line: Line(BufReader::with_capacity(512, UnixStream::from_std(self.near)?)) })
    }
}

impl Helper {
    /// Starts one.
    pub fn start() -> io::Result<Self> {
        execute()?.heard()
    }

    /// Gives it its work.
    pub async fn order(&mut self, order: &Order) -> io::Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        self.line.0.get_mut().write_all(&line).await
    }
}

impl Line {
    /// What a helper reports that may be killed while the container's first process has the far end too: then what it said before, or none.
    pub async fn next_of(&mut self, ended: &mut oneshot::Receiver<Exit>) -> Option<Report> {
        let socket = self.0.get_ref().as_fd().try_clone_to_owned().ok()?;
        let mut next = pin!(self.next());
        tokio::select! {
            biased;
            report = &mut next => report,
            _ = ended => {
                // What has come can still be read, and after it the end.
                shutdown(socket, Shutdown::Read).ok()?;
                next.await
            }
        }
    }

    /// The next report; none at the end, and none for what is no report.
    pub async fn next(&mut self) -> Option<Report> {
        let mut line = Vec::new();
        let mut limited = (&mut self.0).take(LONGEST);
        limited.read_until(b'\n', &mut line).await.ok()?;
        serde_json::from_slice(&line).ok()
    }

    /// Lets the waiting app begin. An app that has ended doesn't hear it; that it has, its line will tell.
    pub async fn start(&mut self) {
        let _ended = self.0.get_mut().write_all(START).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> (Line, Link) {
        let (near, far) = UnixStream::pair().expect("a pair");
        (Line(BufReader::new(near)), Link::new(far.into_std().expect("a socket").into()))
    }

    fn ended() -> oneshot::Receiver<Exit> {
        let (sender, receiver) = oneshot::channel();
        sender.send(Exit::never_ran()).expect("it is awaited");
        receiver
    }

    #[tokio::test]
    async fn a_killed_helper_reports_nothing_though_another_process_has_its_link() {
        let (mut line, _kept) = line();
        assert!(line.next_of(&mut ended()).await.is_none());
    }

    #[tokio::test]
    async fn what_a_helper_said_before_it_ended_is_heard() {
        let (mut line, kept) = line();
        kept.send(&Report::Executed { pid: 7 });
        let report = line.next_of(&mut ended()).await;
        assert!(matches!(report, Some(Report::Executed { pid: 7 })), "{report:?}");
    }
}
