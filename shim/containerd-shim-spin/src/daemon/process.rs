//! A process that containerd knows: the container's first one, or one made by exec.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use containerd_shim_protos::api::Status;
use tokio::sync::watch;

use super::console::Console;
use super::error::TaskError;
use super::logger::Logger;
use super::reaper::Exit;
use crate::stdio::{Held, Paths};
use crate::sys;

/// The daemon's ends of a process's streams, and the logging program that reads its output.
#[derive(Debug)]
pub struct Streams {
    /// What is held open.
    pub held: Held,
    /// Its terminal.
    pub console: Option<Console>,
    /// The program that reads its output.
    pub logger: Option<Logger>,
}

/// One process.
#[derive(Debug)]
pub struct Process {
    /// In the daemon's own pid namespace; 0 before there is one.
    pid: AtomicU32,
    /// A pidfd, so that no signal reaches another process that has the number by then. None of a process that was reaped
    /// before its number was known here.
    handle: OnceLock<Option<OwnedFd>>,
    /// Where its streams go.
    pub paths: Paths,
    held: Mutex<Option<Held>>,
    console: Mutex<Option<Console>>,
    logger: Mutex<Option<Logger>>,
    started: AtomicBool,
    exit: watch::Sender<Option<Exit>>,
}

impl Process {
    /// A process that exists and waits for its start.
    pub fn created(pid: u32, handle: Option<OwnedFd>, paths: Paths, streams: Streams) -> Self {
        let process = Self::to_be(paths);
        process.runs(pid, handle, streams);
        process
    }

    /// A process that will exist once it is started.
    pub fn to_be(paths: Paths) -> Self {
        let (pid, handle, started) = (AtomicU32::new(0), OnceLock::new(), AtomicBool::new(false));
        let (held, console, logger) = (Mutex::new(None), Mutex::new(None), Mutex::new(None));
        Self { pid, handle, paths, held, console, logger, started, exit: watch::Sender::new(None) }
    }

    /// Notes that it exists, and what is held for it.
    pub fn runs(&self, pid: u32, handle: Option<OwnedFd>, streams: Streams) {
        self.pid.store(pid, Ordering::Relaxed);
        let _first_and_only = self.handle.set(handle);
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(streams.held);
        *self.console.lock().unwrap_or_else(PoisonError::into_inner) = streams.console;
        *self.logger.lock().unwrap_or_else(PoisonError::into_inner) = streams.logger;
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

    /// Waits until its logging program has ended, which it does some time after the process.
    pub async fn logged(&self) {
        let logger = self.logger.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(logger) = logger {
            logger.finish().await;
        }
    }

    /// Lets its standard input end.
    pub fn close_stdin(&self) {
        if let Some(held) = self.held.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            held.close_stdin();
        }
    }

    /// A pidfd of it; none before it exists, and none where it was reaped before its number was known.
    pub fn handle(&self) -> Option<BorrowedFd<'_>> {
        self.handle.get().and_then(Option::as_ref).map(AsFd::as_fd)
    }

    /// Sends it a signal, any that the kernel knows, real-time ones too.
    pub fn signal(&self, id: &str, signal: u32) -> Result<(), TaskError> {
        let Some(handle) = self.handle() else { return Err(TaskError::Finished(id.to_owned())) };
        match sys::signal(handle, signal) {
            Ok(()) => Ok(()),
            Err(error) => Err(match error.raw_os_error() {
                Some(libc::ESRCH) => TaskError::Finished(id.to_owned()),
                Some(libc::EINVAL) => TaskError::Invalid(format!("{signal} is no signal")),
                _ => TaskError::Io { what: "sending the signal", source: error },
            }),
        }
    }

    /// Whether it is there, and has not been reaped.
    pub fn exists(&self) -> io::Result<bool> {
        let Some(handle) = self.handle() else { return Ok(false) };
        match sys::signal(handle, 0) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(false),
            result => result.map(|()| true),
        }
    }
}
