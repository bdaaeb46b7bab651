//! Events for containerd, in their order, over its restarts.

use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::time::{Duration, SystemTime};

use containerd_shim_protos::events::task::{
    TaskCreate, TaskDelete, TaskExecAdded, TaskExecStarted, TaskExit, TaskOOM, TaskPaused, TaskResumed, TaskStart,
};
use containerd_shim_protos::protobuf::{Message, well_known_types::any::Any};
use containerd_shim_protos::shim::{event::Envelope, events::ForwardRequest};
use containerd_shim_protos::shim_async::{Client, EventsClient};
use containerd_shim_protos::topics;
use containerd_shim_protos::ttrpc::{self, asynchronous::transport::Socket, context};
use tokio::sync::{mpsc, oneshot};

use super::timestamp;

/// A pod makes a handful; more wait only while containerd is away.
const WAITING: usize = 1024;
/// Longer than containerd needs to restart; after that, it learns the state by asking.
const GIVE_UP: Duration = Duration::from_secs(300);
const ANSWER: Duration = Duration::from_secs(5);

/// A message that says its name. The library knows it too, but finds it by unpacking the descriptions of all messages there are, comments included: a
/// millisecond of every start, and memory for ever.
pub trait Named: Message {
    /// With its package.
    const FULL_NAME: &'static str;
}

/// What an event tells.
pub trait Event: Named {
    /// Under which containerd's clients listen for it.
    const TOPIC: &'static str;
}

macro_rules! events {
    ($($message:ident $topic:ident)*) => {
        $(impl Named for $message {
            const FULL_NAME: &'static str = concat!("containerd.events.", stringify!($message));
        }
        impl Event for $message {
            const TOPIC: &'static str = topics::$topic;
        })*
    };
}

events! {
    TaskCreate TASK_CREATE_EVENT_TOPIC
    TaskStart TASK_START_EVENT_TOPIC
    TaskOOM TASK_OOM_EVENT_TOPIC
    TaskExit TASK_EXIT_EVENT_TOPIC
    TaskDelete TASK_DELETE_EVENT_TOPIC
    TaskExecAdded TASK_EXEC_ADDED_EVENT_TOPIC
    TaskExecStarted TASK_EXEC_STARTED_EVENT_TOPIC
    TaskPaused TASK_PAUSED_EVENT_TOPIC
    TaskResumed TASK_RESUMED_EVENT_TOPIC
}

/// Takes events and sends them in the background.
#[derive(Clone, Debug)]
pub struct Events {
    namespace: String,
    queue: mpsc::Sender<Item>,
}

#[derive(Debug)]
enum Item {
    Event(Box<Envelope>),
    Flush(oneshot::Sender<()>),
}

impl Events {
    /// Sends to containerd's TTRPC socket.
    pub fn new(namespace: &str, address: &str) -> Self {
        let (queue, items) = mpsc::channel(WAITING);
        let link =
            Link { address: address.trim_start_matches("unix://").to_owned(), namespace: namespace.to_owned(), client: None };
        tokio::spawn(forward(link, items));
        Self { namespace: namespace.to_owned(), queue }
    }

    /// Queues an event.
    pub fn publish<E: Event>(&self, event: &E) {
        let topic = E::TOPIC;
        let mut envelope = Envelope::new();
        envelope.set_topic(topic.to_owned());
        envelope.set_namespace(self.namespace.clone());
        envelope.set_timestamp(timestamp(SystemTime::now()));
        envelope.set_event(any(event));
        if self.queue.try_send(Item::Event(Box::new(envelope))).is_err() {
            log::warn!(topic; "event dropped: containerd has been away for too long");
        }
    }

    /// Waits until what is queued is sent, for a moment.
    pub async fn flush(&self) {
        let (sent, all_sent) = oneshot::channel();
        if self.queue.try_send(Item::Flush(sent)).is_ok() {
            let _too_slow = tokio::time::timeout(Duration::from_secs(2), all_sent).await;
        }
    }
}

/// A message with its bare name, which is how containerd's own encoder writes it.
pub fn any<M: Named>(message: &M) -> Any {
    Any { type_url: M::FULL_NAME.to_owned(), value: message.write_to_bytes().unwrap_or_default(), ..Default::default() }
}

async fn forward(mut link: Link, mut items: mpsc::Receiver<Item>) {
    while let Some(item) = items.recv().await {
        match item {
            Item::Event(event) => link.deliver(*event).await,
            Item::Flush(sent) => drop(sent.send(())),
        }
    }
}

struct Link {
    address: String,
    namespace: String,
    client: Option<EventsClient>,
}

impl Link {
    async fn deliver(&mut self, event: Envelope) {
        let topic = event.topic().to_owned();
        let mut request = ForwardRequest::new();
        request.set_envelope(event);
        let started = tokio::time::Instant::now();
        let mut pause = Duration::from_millis(50);
        while let Err(error) = self.send(&request).await {
            if started.elapsed() > GIVE_UP {
                log::warn!(topic; "event dropped: {error}");
                return;
            }
            self.client = None;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    async fn send(&mut self, request: &ForwardRequest) -> ttrpc::Result<()> {
        let client = match &self.client {
            Some(client) => client,
            None => self.client.insert(connect(&self.address)?),
        };
        let mut call = context::with_duration(ANSWER);
        call.metadata = HashMap::from([("containerd-namespace-ttrpc".to_owned(), vec![self.namespace.clone()])]);
        client.forward(call, request).await.map(drop)
    }
}

fn connect(address: &str) -> ttrpc::Result<EventsClient> {
    let failed = |error: std::io::Error| ttrpc::Error::Socket(error.to_string());
    let stream = UnixStream::connect(address).map_err(failed)?;
    stream.set_nonblocking(true).map_err(failed)?;
    let stream = tokio::net::UnixStream::from_std(stream).map_err(failed)?;
    Ok(EventsClient::new(Client::new(Socket::from(stream))))
}

#[cfg(test)]
pub mod tests {
    use containerd_shim_protos::protobuf::MessageFull;

    use super::*;

    pub fn is_named<M: Named + MessageFull>() {
        assert_eq!(M::FULL_NAME, M::descriptor().full_name());
    }

    #[test]
    fn events_have_the_names_that_their_descriptions_give() {
        is_named::<TaskCreate>();
        is_named::<TaskStart>();
        is_named::<TaskOOM>();
        is_named::<TaskExit>();
        is_named::<TaskDelete>();
        is_named::<TaskExecAdded>();
        is_named::<TaskExecStarted>();
        is_named::<TaskPaused>();
        is_named::<TaskResumed>();
    }
}
