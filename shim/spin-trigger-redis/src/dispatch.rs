//! Who gets a message, and how many are in work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use spin_runtime::output::say;
use spin_runtime::{MessageError, MessageHandler};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::settings::MESSAGES_OF_FULL_LENGTH;

/// The components of one server's channels.
pub(crate) type Channels = BTreeMap<String, Vec<Listener>>;

/// One component that listens to a channel.
#[derive(Clone)]
pub(crate) struct Listener {
    pub component: Arc<str>,
    pub handler: MessageHandler,
}

/// The unit in which the memory of messages in work is counted: each takes at least one.
const UNIT_BYTES: u64 = 1 << 10;

/// The places for messages in work, and the memory for them, shared by all servers.
#[derive(Clone)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    all: u32,
    units: Arc<Semaphore>,
    all_units: u32,
}

/// What a message in work holds.
struct Place {
    _message: OwnedSemaphorePermit,
    _units: OwnedSemaphorePermit,
}

impl Places {
    pub fn new(count: usize, max_message_bytes: u64) -> Self {
        let all = u32::try_from(count.max(1)).unwrap_or(u32::MAX).min(1 << 20);
        let units = max_message_bytes.saturating_mul(MESSAGES_OF_FULL_LENGTH).div_ceil(UNIT_BYTES);
        let all_units = u32::try_from(units).unwrap_or(u32::MAX).clamp(1, 1 << 24);
        let semaphore = |permits: u32| Arc::new(Semaphore::new(permits as usize));
        Self { free: semaphore(all), all, units: semaphore(all_units), all_units }
    }

    /// Waits for the place of a message.
    async fn acquire(&self, bytes: usize) -> Option<Place> {
        let units = (bytes as u64).div_ceil(UNIT_BYTES).clamp(1, u64::from(self.all_units)) as u32;
        let message = self.free.clone().acquire_owned().await.ok()?;
        let units = self.units.clone().acquire_many_owned(units).await.ok()?;
        Some(Place { _message: message, _units: units })
    }

    /// Messages in work.
    pub fn taken(&self) -> usize {
        (self.all as usize).saturating_sub(self.free.available_permits())
    }

    /// Waits until nothing is in work any more; false: it took longer than `limit`.
    pub async fn empty(&self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.free.acquire_many(self.all)).await.is_ok()
    }

    /// Gives a message to everyone who listens to its channel, all at once; waits for a place for each.
    pub async fn dispatch(&self, channels: &Channels, channel: &str, payload: &[u8]) {
        for listener in channels.get(channel).into_iter().flatten() {
            let Some(place) = self.acquire(payload.len()).await else { return };
            let (listener, channel, payload) = (listener.clone(), channel.to_owned(), payload.to_vec());
            tokio::spawn(async move {
                if let Err(error) = listener.handler.handle(payload).await {
                    tell(&listener.component, &channel, &error);
                }
                drop(place);
            });
        }
    }
}

/// A message is handled at most once: all that can be done about a failure is to say so. The runtime has already told of
/// those that are not the guest's own words.
fn tell(component: &str, channel: &str, error: &MessageError) {
    match error {
        MessageError::Guest(text) => {
            say(&format!("component \"{component}\" refused a message of Redis channel \"{channel}\": {text}"));
        }
        MessageError::TimedOut => {
            say(&format!(
                "component \"{component}\" took too long over a message of Redis channel \"{channel}\", so its instance was ended"
            ));
        }
        MessageError::Failed | MessageError::Overloaded => {
            log::warn!("a message of Redis channel \"{channel}\" is lost: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn messages_in_work_are_held_to_their_memory() {
        let places = Places::new(128, 1 << 20);
        let acquire = |bytes| places.acquire(bytes).now_or_never().flatten();
        let mut long: Vec<_> = (0..4).map(|_| acquire(1 << 20).expect("there is memory")).collect();
        assert!(acquire(1).is_none());
        long.pop();
        assert!(acquire(1).is_some());
        assert_eq!(places.taken(), 3);
    }
}
