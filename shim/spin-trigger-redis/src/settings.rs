//! How the subscriber behaves, whatever the app.

use std::time::Duration;

/// Messages of full length that may be in work at once.
pub(crate) const MESSAGES_OF_FULL_LENGTH: u64 = 4;

/// Settings of the Redis subscriber; the default suits a pod.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Messages in work at once, over all servers and channels. Where all are busy nothing more is read, so that messages
    /// wait in the kernel and in Redis, and not in this process.
    pub max_in_work: usize,
    /// Bytes of a message with its channel. The subscriber closes the connection on which a longer one
    /// comes, and connects again. Messages in work have [`MESSAGES_OF_FULL_LENGTH`] times as many together.
    pub max_message_bytes: u64,
    /// How long a component may work on a message; none: as long as it likes.
    pub message_timeout: Option<Duration>,
    /// How long connecting and subscribing may take together.
    pub connect_timeout: Duration,
    /// The pause after the first failed attempt; it doubles with each further one.
    pub first_pause: Duration,
    /// The longest pause between two attempts.
    pub longest_pause: Duration,
    /// After this long without a message the server is asked whether it is still there, and has as long again to say so.
    pub probe_interval: Duration,
}

impl Settings {
    /// Bytes of a message, by the container's memory limit: a sixteenth, at most 32 MiB, so that messages
    /// in work take a quarter of the memory at most.
    pub fn max_message_bytes_for(memory_limit: Option<u64>) -> u64 {
        let most = Self::default().max_message_bytes;
        memory_limit.map_or(most, |limit| (limit / 16).min(most))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_in_work: 128,
            max_message_bytes: 32 << 20,
            message_timeout: Some(Duration::from_secs(60 * 60)),
            connect_timeout: Duration::from_secs(10),
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(5),
            probe_interval: Duration::from_secs(15),
        }
    }
}
