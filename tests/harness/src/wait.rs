//! Waiting for a condition, with a deadline.

use std::fmt::Display;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a condition is asked for.
const INTERVAL: Duration = Duration::from_millis(20);
/// The same within a runtime, where asking starts no program.
const POLL: Duration = Duration::from_millis(5);

/// The value that `condition` gives within `seconds`; panics with `what` and the last thing it said otherwise.
pub fn wait_for<T, E: Display>(what: &str, seconds: u64, mut condition: impl FnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        match condition() {
            Ok(value) => return value,
            Err(last) if Instant::now() > deadline => panic!("waited {seconds} s for {what}: {last}"),
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
