//! Who gets a message, and how many are in work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use spin_runtime::output::say;
use spin_runtime::{MessageError, MessageHandler};
use tokio::sync::Semaphore;

/// The components of one server's channels.
pub(crate) type Channels = BTreeMap<String, Vec<Listener>>;

/// One component that listens to a channel.
#[derive(Clone)]
pub(crate) struct Listener {
    pub component: Arc<str>,
    pub handler: MessageHandler,
}

/// The places for messages in work, shared by all servers.
#[derive(Clone)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    all: u32,
}

impl Places {
    pub fn new(count: usize) -> Self {
        let all = u32::try_from(count.max(1)).unwrap_or(u32::MAX).min(1 << 20);
        Self { free: Arc::new(Semaphore::new(all as usize)), all }
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
            let Ok(place) = self.free.clone().acquire_owned().await else { return };
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
