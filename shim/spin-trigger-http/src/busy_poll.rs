//! Looking at the sockets a while longer before a worker sleeps, where the next request has been coming soon.
//!
//! To sleep and to be woken takes a processor longer than a short request does, and clients that wait for each answer before they ask again make a worker
//! sleep once for each. A worker that has nothing in work therefore looks again and again, without waiting, for a bounded time, and lets every other thread
//! that wants its processor go first. It does so only while that pays: requests have been coming so soon that they are awaited, and one at a time, for a
//! sleep that several share costs each of them little.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::yield_now;

/// A moment that has not come.
const NEVER: u64 = u64::MAX;

/// Of the idle moments after those in which looking was in vain, the most that are slept through before it is tried again.
const LONGEST_REST: u32 = 1024;

/// How long to look; zero: never. It follows the container's quota of processors.
pub(crate) struct PollTime(AtomicU64);

impl PollTime {
    pub fn new(time: Duration) -> Self {
        let polling = Self(AtomicU64::new(0));
        polling.set(time);
        polling
    }

    pub fn set(&self, time: Duration) {
        self.0.store(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Relaxed))
    }
}

/// A worker's requests as they come and go, and whether more are soon to come. All of a worker is on one thread, so that nothing here is contended.
pub(crate) struct BusyPoll {
    longest: Arc<PollTime>,
    made: Instant,
    /// Requests that ever began, and those that were done.
    begun: AtomicU64,
    done: AtomicU64,
    /// Since when nothing is in work, in nanoseconds after it was made.
    idle_since: AtomicU64,
    /// Whether the last pause was short, and one request alone has come since.
    soon: AtomicBool,
    idle: Notify,
}

impl BusyPoll {
    pub fn new(longest: Arc<PollTime>) -> Self {
        let [begun, done] = [0; 2].map(AtomicU64::new);
        let (idle_since, soon) = (AtomicU64::new(NEVER), AtomicBool::new(false));
        Self { longest, made: Instant::now(), begun, done, idle_since, soon, idle: Notify::new() }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_nanos()).unwrap_or(NEVER - 1)
    }

    /// Notes that a request has come.
    pub fn begin(&self) {
        // Counted in any case: the time to look may change before the request is done.
        self.begun.store(self.begun.load(Relaxed) + 1, Relaxed);
        if self.longest.get().is_zero() {
            return;
        }
        match self.idle_since.load(Relaxed) {
            NEVER => self.soon.store(false, Relaxed),
            _ => self.end_pause(self.now()),
        }
    }

    fn end_pause(&self, now: u64) {
        let pause = Duration::from_nanos(now.saturating_sub(self.idle_since.swap(NEVER, Relaxed)));
        // Where the worker slept meanwhile, its waking was part of the pause.
        self.soon.store(pause < self.longest.get().saturating_mul(2), Relaxed);
    }

    /// Notes that a request is done with.
    pub fn end(&self) {
        let done = self.done.load(Relaxed) + 1;
        self.done.store(done, Relaxed);
        if self.longest.get().is_zero() {
            return;
        }
        if done == self.begun.load(Relaxed) {
            self.idle_since.store(self.now(), Relaxed);
            if self.soon.load(Relaxed) {
                self.idle.notify_one();
            }
        }
    }

    /// Looks, for ever, whenever there is reason to. To be polled by the runtime that has the connections.
    pub async fn run(&self) -> Infallible {
        let mut rest = Rest::default();
        loop {
            self.idle.notified().await;
            if !rest.goes_on() {
                rest.note(self.look().await);
            }
        }
    }

    /// Keeps the worker awake until a request comes; whether one did in time.
    async fn look(&self) -> bool {
        let (begun, start, longest) = (self.begun.load(Relaxed), Instant::now(), self.longest.get());
        loop {
            // The runtime looks at its sockets, and does not wait as this is ready again.
            yield_now().await;
            if self.begun.load(Relaxed) != begun {
                return true;
            }
            if start.elapsed() >= longest {
                return false;
            }
            std::thread::yield_now();
        }
    }
}

/// Idle moments to sleep through after looking was in vain: each time twice as many.
#[derive(Default)]
struct Rest {
    left: u32,
    next: u32,
}

impl Rest {
    /// Whether this moment is one of them.
    fn goes_on(&mut self) -> bool {
        let resting = self.left > 0;
        self.left = self.left.saturating_sub(1);
        resting
    }

    fn note(&mut self, came: bool) {
        self.next = if came { 0 } else { (self.next * 2).clamp(1, LONGEST_REST) };
        self.left = self.next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn polling(longest: Duration) -> BusyPoll {
        BusyPoll::new(Arc::new(PollTime::new(longest)))
    }

    /// Whether somebody who runs it would be told to look now.
    fn told(polling: &BusyPoll) -> bool {
        use futures::FutureExt;
        polling.idle.notified().now_or_never().is_some()
    }

    #[test]
    fn it_looks_where_the_last_pause_was_short_and_requests_come_one_at_a_time() {
        let polling = self::polling(LONG);
        polling.begin();
        polling.end();
        assert!(!told(&polling), "after the first request nobody knows");
        polling.begin();
        assert!(!told(&polling), "one is in work");
        polling.end();
        assert!(told(&polling));
        polling.begin();
        polling.begin();
        polling.end();
        polling.end();
        assert!(!told(&polling), "two shared its last sleep");
        polling.begin();
        polling.end();
        assert!(told(&polling));
    }

    #[test]
    fn a_long_pause_ends_it() {
        let polling = self::polling(LONG);
        let twice = u64::try_from(2 * LONG.as_nanos()).unwrap();
        for (pause, soon) in [(twice - 1, true), (twice, false), (0, true)] {
            polling.idle_since.store(1, Relaxed);
            polling.end_pause(1 + pause);
            assert_eq!(polling.soon.load(Relaxed), soon, "{pause}");
        }
    }

    #[test]
    fn with_no_time_it_never_looks_until_it_has_some() {
        let polling = self::polling(Duration::ZERO);
        (0..3).for_each(|_| {
            polling.begin();
            polling.end();
        });
        assert!(!told(&polling));
        polling.begin();
        polling.longest.set(LONG);
        polling.end();
        polling.begin();
        polling.end();
        assert!(told(&polling), "a request in work when the time changed is counted");
    }

    #[tokio::test]
    async fn looking_ends_with_the_next_request_or_in_time() {
        let polling = Arc::new(self::polling(LONG));
        let client = polling.clone();
        tokio::spawn(async move { client.begin() });
        assert!(polling.look().await);
        assert!(!self::polling(Duration::from_nanos(1)).look().await);
    }

    #[test]
    fn what_is_in_vain_is_tried_ever_more_rarely() {
        let mut rest = Rest::default();
        let mut tries = |moments: usize, came: bool| {
            let tried = |_: &usize| {
                let looks = !rest.goes_on();
                if looks {
                    rest.note(came);
                }
                looks
            };
            (0..moments).filter(tried).count()
        };
        assert_eq!(tries(100, true), 100);
        // After 0, 1, 2, 4, 8, 16 and 32 moments of rest.
        assert_eq!(tries(70, false), 7);
        assert_eq!(tries(1_000_000, false) / 100, 9, "once in a thousand");
    }
}
