//! All servers of an app.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use spin_runtime::{MessageOptions, RedisAddress, Runtime};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Trigger};
use crate::dispatch::{Channels, Listener, Places};
use crate::error::Error;
use crate::server::Server;
use crate::settings::Settings;

/// The app's Redis triggers, checked, with no connection yet.
pub struct Subscriber {
    servers: Vec<Server>,
    settings: Settings,
}

/// How a subscriber ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Drained {
    /// Messages that were still in work when the grace period was over.
    pub abandoned: usize,
}

impl Subscriber {
    /// Resolves addresses and channels, and checks that every component can take messages.
    ///
    /// # Errors
    /// Whatever is wrong with the app's Redis triggers, their variables or their components; see [`Error::exit_code`].
    pub async fn new(runtime: &Arc<Runtime>, settings: Settings) -> Result<Self, Error> {
        let app = runtime.app();
        let shared = config::app_address(app.trigger_metadata("redis"))?;
        let mut servers: BTreeMap<String, Server> = BTreeMap::new();
        for trigger in app.triggers_of("redis") {
            let id = &trigger.id;
            let Trigger { channel, component, address } = Trigger::parse(id, &trigger.trigger_config)?;
            let address = address.or_else(|| shared.clone()).ok_or_else(|| Error::NoAddress { trigger: id.clone() })?;
            let text = runtime.resolve(&address).await?;
            let channel = runtime.resolve(&channel).await?;
            let address = RedisAddress::parse(&text).map_err(|reason| Error::Address {
                trigger: id.clone(),
                address: RedisAddress::redact(&text),
                reason,
            })?;
            let missing = || Error::NoSuchComponent { trigger: id.clone(), component: component.clone() };
            let guest = runtime.component(&component).ok_or_else(missing)?;
            let handler = guest.message_handler(MessageOptions { timeout: settings.message_timeout })?;
            let server = servers.entry(text).or_insert_with(|| Server {
                address,
                channels: Channels::new(),
                network: runtime.network().clone(),
            });
            server.channels.entry(channel).or_default().push(Listener { component: component.into(), handler });
        }
        Ok(Self { servers: servers.into_values().collect(), settings })
    }

    /// Listens until `drain` is cancelled, coming back whenever a connection is lost. Then it unsubscribes and finishes what is
    /// in work, all within `grace`.
    pub async fn run(self, drain: CancellationToken, grace: Duration) -> Drained {
        let Self { servers, settings } = self;
        let places = Places::new(settings.max_in_work, settings.max_message_bytes);
        let mut listening = std::pin::pin!(join_all(servers.iter().map(|server| server.listen(&settings, &places, &drain))));
        tokio::select! {
            _ = listening.as_mut(), if !servers.is_empty() => {}
            () = drain.cancelled() => {}
        }
        let end = Instant::now() + grace;
        let _ = tokio::time::timeout_at(end, listening).await;
        let finished = places.empty(end.saturating_duration_since(Instant::now())).await;
        Drained { abandoned: if finished { 0 } else { places.taken() } }
    }
}
