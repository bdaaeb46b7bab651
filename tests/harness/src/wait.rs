//! Waiting for a condition, with a deadline.

use std::fmt::Display;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a condition is asked for.
const INTERVAL: Duration = Duration::from_millis(20);
/// The same within a runtime, where asking starts no program.
const POLL: Duration = Duration::from_millis(5);

/// A time limit of this many seconds on an ordinary machine. `SPIN_TEST_PATIENCE` says how many times slower this one is: 1 by default.
pub fn patience(seconds: u64) -> Duration {
    let factor =
        std::env::var("SPIN_TEST_PATIENCE").map_or(1, |text| text.parse().expect("SPIN_TEST_PATIENCE is a whole number"));
    Duration::from_secs(seconds * factor)
}

/// The value that `condition` gives within `seconds`; panics with `what` and the last thing it said otherwise.
pub fn wait_for<T, E: Display>(what: &str, seconds: u64, mut condition: impl FnMut() -> Result<T, E>) -> T {
    let limit = patience(seconds);
    let deadline = Instant::now() + limit;
    loop {
        match condition() {
            Ok(value) => return value,
            Err(last) if Instant::now() > deadline => panic!("waited {limit:?} for {what}: {last}"),
            Err(_) => sleep(INTERVAL),
        }
    }
}

/// Waits within a tokio runtime, whose other tasks go on, until `condition` holds; panics with `what` where it does not within `patience`.
pub async fn until(what: &str, patience: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let tried = tokio::time::timeout(patience, async {
        while !condition().await {
            tokio::time::sleep(POLL).await;
        }
    });
    tried.await.unwrap_or_else(|_| panic!("waited {patience:?} for {what}"));
}

/// `Ok` where `truth` holds: for conditions that have nothing to tell.
pub fn holds(truth: bool) -> Result<(), &'static str> {
    if truth { Ok(()) } else { Err("it does not hold") }
}
