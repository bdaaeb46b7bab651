//! One server: connected, subscribed, and connected again.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use redis::aio::{PubSub, PubSubSink, PubSubStream};
use redis::{Msg, RedisError};
use spin_runtime::{ConnectError, Network, RedisAddress, output};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::dispatch::{Channels, Places};
use crate::gate::{Gate, Gated};
use crate::settings::Settings;

/// How long a draining subscriber waits for the server's word that no more messages will come.
const FAREWELL: Duration = Duration::from_secs(2);

/// A server, and who listens to which of its channels.
pub(crate) struct Server {
    pub address: RedisAddress,
    pub channels: Channels,
    pub network: Arc<Network>,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error("the server does not answer")]
    TimedOut,
}

/// A connection that is subscribed to everything.
struct Session {
    sink: PubSubSink,
    messages: PubSubStream,
    gate: Arc<Gate>,
}

/// How a session ended.
#[derive(PartialEq)]
enum Ended {
    Drained,
    Lost,
}

type Probe = Pin<Box<dyn Future<Output = bool> + Send>>;

impl Server {
    /// Stays subscribed until `drain` is cancelled, whatever becomes of the connection.
    pub async fn listen(&self, settings: &Settings, places: &Places, drain: &CancellationToken) {
        let mut backoff = Backoff::new(settings.first_pause, settings.longest_pause);
        let mut told = String::new();
        loop {
            let connecting = tokio::time::timeout(settings.connect_timeout, self.connect(settings));
            let connected = tokio::select! {
                connected = connecting => connected.unwrap_or(Err(SessionError::TimedOut)),
                () = drain.cancelled() => return,
            };
            let problem = match connected {
                Ok(session) => {
                    self.announce();
                    let since = Instant::now();
                    if self.read(session, settings, places, drain).await == Ended::Drained {
                        return;
                    }
                    // A server that drops everyone at once is no better than one that is not there.
                    if since.elapsed() > settings.longest_pause {
                        backoff.succeed();
                    }
                    told.clear();
                    "the connection was lost; messages published until it is back are not seen".to_owned()
                }
                Err(error) => error.to_string(),
            };
            let pause = backoff.fail();
            if problem != told || backoff.failures().is_power_of_two() {
                output::say(&format!("Redis at {}: {problem}; trying again", self.address));
                told = problem;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = drain.cancelled() => return,
            }
        }
    }

    async fn connect(&self, settings: &Settings) -> Result<Session, SessionError> {
        let stream = self.address.connect(&self.network, settings.max_message_bytes).await?;
        let gate = Arc::new(Gate::default());
        let gated = Gated { stream, gate: gate.clone() };
        let (mut sink, messages) = PubSub::new(self.address.login(), gated).await?.split();
        sink.subscribe(self.names()).await?;
        Ok(Session { sink, messages, gate })
    }

    fn names(&self) -> Vec<&str> {
        self.channels.keys().map(String::as_str).collect()
    }

    /// On stdout, where people who know Spin look for it.
    fn announce(&self) {
        let mut lines = vec![format!("Active Channels on {}:", self.address)];
        lines.extend(self.channels.iter().map(|(channel, listeners)| {
            let components: Vec<&str> = listeners.iter().map(|listener| &*listener.component).collect();
            format!("\t{channel}: [{}]", components.join(","))
        }));
        output::announce_lines(&lines);
    }

    async fn read(&self, mut session: Session, settings: &Settings, places: &Places, drain: &CancellationToken) -> Ended {
        let mut alive = Instant::now();
        let mut probe: Option<Probe> = None;
        loop {
            let message = tokio::select! {
                biased;
                () = drain.cancelled() => {
                    self.part(session, places).await;
                    return Ended::Drained;
                }
                message = session.next() => message,
                answered = probing(&mut probe) => {
                    if !answered {
                        return Ended::Lost;
                    }
                    alive = Instant::now();
                    continue;
                }
                () = tokio::time::sleep_until(alive + settings.probe_interval), if probe.is_none() => {
                    probe = Some(session.probe(settings.probe_interval));
                    continue;
                }
            };
            let Some(message) = message else { return Ended::Lost };
            places.dispatch(&self.channels, message.get_channel_name(), message.get_payload_bytes()).await;
            // The answer to a probe may be waiting behind messages: these have answered it.
            probe = None;
            alive = Instant::now();
        }
    }

    /// Unsubscribes, and still hands out everything the server sent before it knew.
    async fn part(&self, mut session: Session, places: &Places) {
        let mut sink = session.sink.clone();
        let names = self.names();
        let mut farewell = std::pin::pin!(tokio::time::timeout(FAREWELL, sink.unsubscribe(names)).fuse());
        loop {
            let message = tokio::select! {
                biased;
                message = session.next() => message,
                _ = farewell.as_mut() => break,
            };
            let Some(message) = message else { return };
            places.dispatch(&self.channels, message.get_channel_name(), message.get_payload_bytes()).await;
        }
        while let Some(Some(message)) = session.messages.next().now_or_never() {
            places.dispatch(&self.channels, message.get_channel_name(), message.get_payload_bytes()).await;
        }
    }
}

impl Session {
    /// The next message; none once the connection is lost. Only while nothing is left to hand out is more read.
    async fn next(&mut self) -> Option<Msg> {
        let message = match self.messages.next().now_or_never() {
            Some(message) => message,
            None => {
                self.gate.open();
                self.messages.next().await
            }
        };
        self.gate.close();
        message
    }

    fn probe(&self, limit: Duration) -> Probe {
        let mut sink = self.sink.clone();
        Box::pin(async move { matches!(tokio::time::timeout(limit, sink.ping::<redis::Value>()).await, Ok(Ok(_))) })
    }
}

async fn probing(probe: &mut Option<Probe>) -> bool {
    let Some(running) = probe else { return std::future::pending().await };
    let answered = running.await;
    *probe = None;
    answered
}
