//! Collects every process that ends under the daemon: helpers, containers' first processes, and orphans of either.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use rustix::process::{Pid, PidfdFlags, WaitOptions, WaitStatus, pidfd_open, wait};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code; 128 and the signal's number where one killed it.
    pub status: u32,
    /// When.
    pub at: SystemTime,
}

impl Exit {
    /// Of a process that never came to be.
    pub fn never_ran() -> Self {
        Self { status: 255, at: SystemTime::now() }
    }
}

/// Hands out exits by process id.
#[derive(Debug, Default)]
pub struct Reaper(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    awaited: HashMap<u32, oneshot::Sender<Exit>>,
    /// Ends that nobody awaited yet; kept only while some process is expected, because ids come back.
    early: HashMap<u32, Exit>,
    expected: usize,
}

/// While it lives, an end that comes before anyone asks for it is kept.
#[derive(Debug)]
pub struct Expecting<'a>(&'a Reaper);

impl Reaper {
    /// Starts collecting; call it before the first process is started.
    pub fn start() -> io::Result<Arc<Self>> {
        let reaper = Arc::new(Self::default());
        let mut children = signal(SignalKind::child())?;
        let collecting = reaper.clone();
        tokio::spawn(async move {
            while children.recv().await.is_some() {
                collecting.collect();
            }
        });
        Ok(reaper)
    }

    /// Announces that a process will be asked for whose id isn't known yet.
    pub fn expect(&self) -> Expecting<'_> {
        self.state().expected += 1;
        Expecting(self)
    }

    /// The end of a process, which may have come already. Dropped without an answer only if the same id is asked for twice.
    pub fn exit_of(&self, pid: u32) -> oneshot::Receiver<Exit> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state();
        match state.early.remove(&pid) {
            Some(exit) => drop(sender.send(exit)),
            None => drop(state.awaited.insert(pid, sender)),
        }
        receiver
    }

    /// A pidfd of a process that is or becomes a child of this one; none where that was reaped already.
    ///
    /// To be called while the process is expected, and before the next await: reaping is done on the same thread.
    pub fn handle_of(&self, pid: u32) -> io::Result<Option<OwnedFd>> {
        if self.state().early.contains_key(&pid) {
            return Ok(None);
        }
        let pid = Pid::from_raw(pid.cast_signed()).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Some(pidfd_open(pid, PidfdFlags::empty())?))
    }

    fn collect(&self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let exit = Exit { status: code(status), at: SystemTime::now() };
            let pid = pid.as_raw_nonzero().get().cast_unsigned();
            let mut state = self.state();
            match state.awaited.remove(&pid) {
                Some(sender) => drop(sender.send(exit)),
                None if state.expected > 0 => drop(state.early.insert(pid, exit)),
                None => {}
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for Expecting<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.expected -= 1;
        if state.expected == 0 {
            state.early.clear();
        }
    }
}

/// Waits for an end that may have been told already.
pub async fn over(end: oneshot::Receiver<Exit>) {
    if !end.is_terminated() {
        let _exit = end.await;
    }
}

fn code(status: WaitStatus) -> u32 {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    code.unwrap_or(255).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    // One test, because it collects every child of the test's process.
    #[tokio::test]
    async fn ends_are_told_with_code_or_signal_early_or_late() {
        let reaper = Reaper::start().expect("signals");
        let expecting = reaper.expect();
        let late = Command::new("/bin/sh").args(["-c", "exit 3"]).spawn().expect("a process").id();
        assert_eq!(reaper.exit_of(late).await.expect("told").status, 3);
        let killed = Command::new("/bin/sh").args(["-c", "kill -9 $$"]).spawn().expect("a process").id();
        while !reaper.state().early.contains_key(&killed) {
            tokio::task::yield_now().await;
        }
        assert_eq!(reaper.exit_of(killed).await.expect("told").status, 137);
        drop(expecting);
        assert!(reaper.state().early.is_empty());
    }
}
