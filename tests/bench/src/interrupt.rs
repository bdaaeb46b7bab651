//! SIGINT and SIGTERM: the bench ends between two measurements, so that what it started ends with it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

use crate::error::Error;

static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on signals are only noted.
pub fn watch() {
    thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be caught");
            let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be caught");
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            ASKED.store(true, Relaxed);
        });
    });
}

/// An error once a signal has come.
pub fn check() -> Result<(), Error> {
    if ASKED.load(Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
}
