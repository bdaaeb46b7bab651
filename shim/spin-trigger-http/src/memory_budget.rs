//! Budgets that divide a container's memory: of connections, of bytes, of requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A part of a budget, given back when it is dropped.
pub(crate) type Permit = OwnedSemaphorePermit;

/// A limited number of units.
pub(crate) struct Budget {
    total: usize,
    available: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Budget {
    pub fn new(total: usize) -> Self {
        let total = total.clamp(1, Semaphore::MAX_PERMITS);
        Self { total, available: Arc::new(Semaphore::new(total)), waiting: AtomicUsize::new(0) }
    }

    pub fn total(&self) -> usize {
        self.total
    }

    /// Takes `count` units, if as many are available.
    pub fn try_take(&self, count: u32) -> Option<Permit> {
        self.available.clone().try_acquire_many_owned(count).ok()
    }

    /// Waits for `count` units, in the order of the calls.
    pub async fn take(&self, count: u32) -> Permit {
        match self.available.clone().acquire_many_owned(count).await {
            Ok(permit) => permit,
            Err(_) => unreachable!("the semaphore of a budget is never closed"),
        }
    }

    /// Counts one waiting caller until the result is dropped.
    pub fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(&self.waiting)
    }

    /// The callers that wait for units.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// A caller that waits for units of a budget.
pub(crate) struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
