//! Whether a run stays within its limits of memory and time.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::allocation::peak_of;

/// What a run may take of the processor, for any target and any input: a hundred times what the slowest input of the corpus takes, so that only work
/// that grows faster than its input comes near.
pub const MAX_PROCESSOR_TIME: Duration = Duration::from_secs(1);

/// How much memory a run may hold at once: a part that any input may take, and a part for each byte of it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes for any input.
    pub base: usize,
    /// Bytes for each byte of the input.
    pub per_byte: usize,
}

impl Limits {
    /// The limit for an input of so many bytes.
    pub fn of(&self, input_bytes: usize) -> usize {
        self.base + self.per_byte * input_bytes
    }
}

/// Runs `work`; panics where it takes more than its limits.
pub(crate) fn within_limits<T>(limit: usize, work: impl FnOnce() -> T) -> T {
    let began = processor_time();
    let (result, peak) = peak_of(work);
    let time = processor_time() - began;
    assert!(peak <= limit, "it held {peak} bytes, more than the {limit} allowed");
    assert!(time <= MAX_PROCESSOR_TIME, "it took {time:?} of the processor, more than the {MAX_PROCESSOR_TIME:?} allowed");
    result
}

/// Of this thread: a busy machine does not count.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec.try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    #[should_panic(expected = "more than the 1000 allowed")]
    fn a_run_that_holds_too_much_memory_fails() {
        within_limits(1000, || drop(vec![1_u8; 1001]));
    }

    #[test]
    #[should_panic(expected = "of the processor")]
    fn a_run_that_takes_too_long_fails() {
        let began = processor_time();
        within_limits(0, || while processor_time() - began <= MAX_PROCESSOR_TIME * 2 {});
    }

    #[test]
    fn a_run_that_waits_takes_no_time() {
        let began = Instant::now();
        within_limits(10_000, || {
            while began.elapsed() < MAX_PROCESSOR_TIME * 2 {
                std::thread::park_timeout(MAX_PROCESSOR_TIME)
            }
        });
    }
}
