//! Starts the processes that do the daemon's work, orders it, and listens to what they report.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as Pair;
use std::os::unix::process::CommandExt;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{Shutdown, shutdown};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use super::reaper::Exit;
use crate::helper::VERB;
use crate::link::{Command as AppCommand, LONGEST, Link, Order, Report};
use crate::sys::{self, Fork};

/// How many warnings may come before a report.
const MAX_WARNINGS: usize = 64;

/// A process that has work to do, or waits for some.
#[derive(Debug)]
pub struct Helper {
    /// Of its process.
    pub pid: u32,
    /// A pidfd of the same.
    pub handle: Arc<OwnedFd>,
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
    handle: OwnedFd,
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
        Fork::Parent(pid) => Part::Daemon(Started::new(pid, near)?),
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
    Started::new(child.id(), near)
}

impl Started {
    /// Of a child that was just made: not before this returns can it be reaped.
    fn new(pid: u32, near: Pair) -> io::Result<Self> {
        let child = Pid::from_raw(pid.cast_signed()).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self { pid, handle: pidfd_open(child, PidfdFlags::empty())?, near })
    }

    /// Puts it in the runtime's care.
    pub fn heard(self) -> io::Result<Helper> {
        self.near.set_nonblocking(true)?;
        let line = Line(BufReader::with_capacity(512, UnixStream::from_std(self.near)?));
        Ok(Helper { pid: self.pid, handle: Arc::new(self.handle), line })
    }
}

impl Helper {
    /// Starts one.
    pub fn start() -> io::Result<Self> {
        execute()?.heard()
    }

    /// Gives it its work, and the descriptors that belong to it.
    pub async fn order(&mut self, order: &Order, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        let socket = self.line.0.get_mut();
        socket.writable().await?;
        // Descriptors go with the first bytes; nothing was written before, so there is room for some.
        let sent = socket.try_io(Interest::WRITABLE, || sys::send(socket.as_fd(), &line, fds))?;
        socket.write_all(&line[sent..]).await
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

    /// The next report; none at the end, and none for what is no report. Warnings before it go to the log.
    pub async fn next(&mut self) -> Option<Report> {
        // A compromised process must not fill the node's log.
        for _ in 0..MAX_WARNINGS {
            let mut line = Vec::new();
            let mut limited = (&mut self.0).take(LONGEST);
            limited.read_until(b'\n', &mut line).await.ok()?;
            match Report::parse(&line).ok()? {
                // Quoted: what a helper complains about may have been named by an image.
                Report::Warning { message } => log::warn!("{message:?}"),
                report => return Some(report),
            }
        }
        None
    }

    /// Lets the waiting app begin. An app that has ended doesn't hear it; that it has, its line will tell.
    pub async fn start(&mut self) {
        let _ended = self.0.get_mut().write_all(&AppCommand::Start.line()).await;
    }

    /// Tells the app how many processors its container has. Not waiting for an app that reads nothing: what it does not hear
    /// until the socket is full harms itself alone.
    pub fn resize(&self, cpus: Option<f64>) {
        let _ended = sys::send(self.0.get_ref().as_fd(), &AppCommand::Resize { cpus }.line(), &[]);
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
