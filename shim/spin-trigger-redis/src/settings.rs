//! How the subscriber behaves, whatever the app.

use std::time::Duration;

/// Settings of the Redis subscriber; the default suits a pod.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Messages in work at once, over all servers and channels. Where all are busy nothing more is read, so that messages
    /// wait in the kernel and in Redis, and not in this process.
    pub max_in_work: usize,
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

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_in_work: 128,
            message_timeout: Some(Duration::from_secs(60 * 60)),
            connect_timeout: Duration::from_secs(10),
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(5),
            probe_interval: Duration::from_secs(15),
        }
    }
}
