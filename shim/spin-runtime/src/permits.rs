//! The permits to work: an app has as many as instances may work at once.
//!
//! A permit belongs to the working instance, not to the client whose request it works on. It is free
//! again only when the instance has stopped.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Stands for a moment that has not come.
const NEVER: u64 = u64::MAX;

/// All permits of an app.
pub(crate) struct WorkPermits {
    free: Semaphore,
    max: usize,
    made: Instant,
    /// Requests and messages that wait for a permit.
    waiting: AtomicUsize,
    /// Since when no permit has become free although a request waited, in milliseconds after `made`.
    exhausted_since: AtomicU64,
}

/// The permit of one instance to work; dropping it makes it free.
pub(crate) struct WorkPermit(Arc<WorkPermits>);

impl WorkPermits {
    pub(crate) fn new(max: usize) -> Self {
        let (waiting, exhausted_since) = (AtomicUsize::new(0), AtomicU64::new(NEVER));
        Self { free: Semaphore::new(max), max, made: Instant::now(), waiting, exhausted_since }
    }

    /// How many instances may work at once.
    pub(crate) fn max(&self) -> usize {
        self.max
    }

    /// Takes a permit if one is free.
    pub(crate) fn try_acquire(self: &Arc<Self>) -> Option<WorkPermit> {
        // `WorkPermit` gives it back itself: it must outlive this borrow.
        self.free.try_acquire().ok()?.forget();
        Some(WorkPermit(self.clone()))
    }

    /// Waits for a permit without a limit; the calls get theirs in order.
    pub(crate) async fn acquire(self: &Arc<Self>) -> WorkPermit {
        if let Some(permit) = self.try_acquire() {
            return permit;
        }
        let _waiting = Waiting::begin(self);
        match self.free.acquire().await {
            Ok(permit) => permit.forget(),
            Err(_) => unreachable!("nobody closes the semaphore"),
        }
        WorkPermit(self.clone())
    }

    /// How many permits are taken.
    pub(crate) fn taken(&self) -> usize {
        self.max.saturating_sub(self.free.available_permits())
    }

    /// For how long all permits have been taken and none of them has become free, although a request
    /// waits or has waited for one.
    pub(crate) fn exhausted_for(&self) -> Option<Duration> {
        let since = self.exhausted_since.load(Relaxed);
        let exhausted = since != NEVER && self.free.available_permits() == 0;
        exhausted.then(|| Duration::from_millis(self.now().saturating_sub(since)))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }
}

impl Drop for WorkPermit {
    fn drop(&mut self) {
        let WorkPermits { free, waiting, exhausted_since, .. } = &*self.0;
        // A free permit is progress. While nothing waits, which is usual, no clock is read.
        if exhausted_since.load(Relaxed) != NEVER {
            let since = if waiting.load(Relaxed) > 0 { self.0.now() } else { NEVER };
            exhausted_since.store(since, Relaxed);
        }
        free.add_permits(1);
    }
}

/// Counts as one waiting request until it is dropped.
pub struct Waiting(Arc<WorkPermits>);

impl Waiting {
    pub(crate) fn begin(permits: &Arc<WorkPermits>) -> Self {
        permits.waiting.fetch_add(1, Relaxed);
        let _since_before = permits.exhausted_since.compare_exchange(NEVER, permits.now(), Relaxed, Relaxed);
        Self(permits.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn permits_are_exhausted_while_a_request_waits_and_none_becomes_free() {
        let permits = Arc::new(WorkPermits::new(2));
        let mut taken = vec![permits.acquire().await, permits.acquire().await];
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(permits.exhausted_for(), None, "nobody waits");
        let mut waiting = Box::pin(permits.acquire());
        assert!(waiting.as_mut().now_or_never().is_none());
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(permits.exhausted_for(), Some(Duration::from_secs(20)));
        taken.pop();
        let _permit = waiting.await;
        assert_eq!(permits.exhausted_for(), Some(Duration::ZERO), "the time starts again when one becomes free");
        taken.clear();
        assert_eq!(permits.exhausted_for(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn permits_stay_exhausted_when_the_waiting_requests_give_up() {
        let permits = Arc::new(WorkPermits::new(1));
        let taken = permits.acquire().await;
        for _ in 0..3 {
            assert!(tokio::time::timeout(Duration::from_secs(5), permits.acquire()).await.is_err());
        }
        assert_eq!(permits.exhausted_for(), Some(Duration::from_secs(15)));
        drop(taken);
        assert_eq!(permits.exhausted_for(), None);
    }
}
