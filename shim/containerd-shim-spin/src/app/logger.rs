//! Writes warnings and errors of this process to the container's stderr, for the operator of the app.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::{LevelFilter, Log, Metadata, Record};
use spin_runtime::output::say;

use crate::warnings;

/// The shortest time between two lines of one place in the code; lines in between are counted.
const PAUSE: Duration = Duration::from_secs(1);
/// A place in the code.
type Place = (&'static str, u32);

struct Logger {
    said: Mutex<BTreeMap<Place, Said>>,
}

/// The lines of one place.
struct Said {
    last: Instant,
    /// Lines left out since then.
    left_out: u64,
}

/// Writes warnings, errors and panics to stderr from now on, without waiting for a reader.
pub fn start() {
    static LOGGER: Logger = Logger { said: Mutex::new(BTreeMap::new()) };
    // No other code sets a logger.
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
    std::panic::set_hook(Box::new(|panic| say(&format!("fault of the host: {panic}"))));
}

impl Logger {
    /// How many lines of that place were left out before this one; none: this one is left out too.
    fn admit(&self, place: Place, now: Instant) -> Option<u64> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(said) = said.get_mut(&place) else {
            said.insert(place, Said { last: now, left_out: 0 });
            return Some(0);
        };
        if now.saturating_duration_since(said.last) < PAUSE {
            said.left_out += 1;
            return None;
        }
        said.last = now;
        Some(std::mem::take(&mut said.left_out))
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        warnings::is_ours(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let place = (record.file_static().unwrap_or_default(), record.line().unwrap_or_default());
        match self.admit(place, Instant::now()) {
            None => {}
            Some(0) => say(&record.args().to_string()),
            Some(left_out) => say(&format!("{} ({left_out} more like this were left out)", record.args())),
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_may_write_a_line_a_second_and_the_others_are_counted() {
        let (logger, now) = (Logger { said: Mutex::default() }, Instant::now());
        assert_eq!(logger.admit(("a", 1), now), Some(0));
        assert_eq!([logger.admit(("a", 1), now), logger.admit(("a", 1), now)], [None, None]);
        assert_eq!(logger.admit(("a", 2), now), Some(0), "another place has its own limit");
        assert_eq!(logger.admit(("a", 1), now + PAUSE), Some(2));
        assert_eq!(logger.admit(("a", 1), now + 2 * PAUSE), Some(0));
    }
}
