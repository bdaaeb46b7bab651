//! A process that containerd knows: the container's first one, or one made by exec.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use containerd_shim_protos::api::Status;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

use super::console::Console;
use super::error::TaskError;
use super::reaper::Exit;
use crate::stdio::{Held, Paths};

/// One process.
#[derive(Debug)]
pub struct Process {
    /// In the daemon's own pid namespace; 0 before there is one.
    pid: AtomicU32,
    /// Where its streams go.
    pub paths: Paths,
    held: Mutex<Option<Held>>,
    console: Mutex<Option<Console>>,
    started: AtomicBool,
    exit: watch::Sender<Option<Exit>>,
}

impl Process {
    /// A process that exists and waits for its start.
    pub fn created(pid: u32, paths: Paths, streams: (Held, Option<Console>)) -> Self {
        let process = Self::to_be(paths);
        process.runs(pid, streams);
        process
    }

    /// A process that will exist once it is started.
    pub fn to_be(paths: Paths) -> Self {
        let (pid, started) = (AtomicU32::new(0), AtomicBool::new(false));
        Self { pid, paths, held: Mutex::new(None), console: Mutex::new(None), started, exit: watch::Sender::new(None) }
    }

    /// Notes that it exists, and what is held for it.
    pub fn runs(&self, pid: u32, (held, console): (Held, Option<Console>)) {
        self.pid.store(pid, Ordering::Relaxed);
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
        *self.console.lock().unwrap_or_else(PoisonError::into_inner) = console;
    }

    /// Tells its terminal the size of the user's window.
    pub fn resize(&self, width: u32, height: u32) -> Result<(), TaskError> {
        match self.console.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(console) => console.resize(width, height).map_err(TaskError::io("resizing the terminal")),
            None => Ok(()),
        }
    }

    /// Its id in the daemon's own pid namespace; 0 before there is one.
    pub fn pid(&self) -> u32 {
        self.pid.load(Ordering::Relaxed)
    }

    /// Notes that it was started; false where it had been already.
    pub fn start(&self) -> bool {
        !self.started.swap(true, Ordering::Relaxed)
    }

    /// Whether it was ever started.
    pub fn was_started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    /// What containerd calls its state.
    pub fn status(&self) -> Status {
        match (self.exit(), self.was_started()) {
            (Some(_), _) => Status::STOPPED,
            (None, true) => Status::RUNNING,
            (None, false) => Status::CREATED,
        }
    }

    /// How it ended, if it has.
    pub fn exit(&self) -> Option<Exit> {
        *self.exit.borrow()
    }

    /// Waits for its end.
    pub async fn wait(&self) -> Exit {
        let mut exit = self.exit.subscribe();
        // The sender is our own field: it can't be gone.
        exit.wait_for(Option::is_some).await.ok().and_then(|exit| *exit).unwrap_or_else(Exit::never_ran)
    }

    /// Notes its end, and lets go of its streams so that their readers see theirs.
    pub async fn ended(&self, exit: Exit) {
        let console = self.console.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(console) = console {
            console.finish().await;
        }
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.exit.send_replace(Some(exit));
    }

    /// Lets its standard input end.
    pub fn close_stdin(&self) {
        if let Some(held) = self.held.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            held.close_stdin();
        }
    }

    /// Sends it a signal. Its number can't have gone to another process: it ends only when this thread collects it.
    pub fn signal(&self, id: &str, signal: u32) -> Result<(), TaskError> {
        let Some(number) = Signal::from_named_raw(signal.cast_signed()) else {
            return Err(TaskError::Invalid(format!("{signal} is no signal")));
        };
        match (self.exit(), Pid::from_raw(self.pid().cast_signed())) {
            (None, Some(pid)) => match kill_process(pid, number) {
                Err(rustix::io::Errno::SRCH) => Err(TaskError::Finished(id.to_owned())),
                result => result.map_err(|error| TaskError::Io { what: "sending the signal", source: error.into() }),
            },
            _ => Err(TaskError::Finished(id.to_owned())),
        }
    }
}
