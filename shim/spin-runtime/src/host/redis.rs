//! Redis: one connection for each address, shared by all instances, made anew when it is lost.

mod interface;
mod values;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::{AsyncCommands, Client, RedisError};
use tokio::sync::OnceCell;
use wasmtime::component::Linker;

use super::HostState;

/// For a connection, and for the answer to one command.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(30);
/// A connection nobody used for so long is tried before it is handed out: its server may have gone and come back, and the command that finds that out
/// is lost, because nobody can say whether it was executed.
const TRUSTED: Duration = Duration::from_millis(10);
/// Addresses the app may be connected to at once; templates and user input can make any number of them.
const MAX_ADDRESSES: usize = 256;

/// A connection; clones share it, and their commands are sent without waiting for each other's answers.
pub(crate) type Connection = ConnectionManager;

/// All servers the app talks to.
#[derive(Clone, Default)]
pub(crate) struct Servers {
    connections: Arc<Mutex<HashMap<String, Arc<Server>>>>,
}

/// The connection to one server, once there is one, and when it was last handed out.
#[derive(Default)]
struct Server {
    connection: OnceCell<Connection>,
    used: Mutex<Option<Instant>>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("this is not a Redis address")]
    InvalidAddress,
    #[error("too many addresses are connected to")]
    TooMany,
    #[error("can't connect: {0}")]
    Failed(RedisError),
}

impl Servers {
    /// The connection to the address, made if it is not there.
    pub(crate) async fn connection(&self, address: &str) -> Result<Connection, ConnectError> {
        let server = self.server(address)?;
        let connect = || async {
            let client = Client::open(address).map_err(|_| ConnectError::InvalidAddress)?;
            let config = ConnectionManagerConfig::new()
                .set_connection_timeout(Some(CONNECT))
                .set_response_timeout(Some(ANSWER))
                .set_number_of_retries(1);
            client.get_connection_manager_with_config(config).await.map_err(ConnectError::Failed)
        };
        let mut connection = server.connection.get_or_try_init(connect).await?.clone();
        if server.unused() > TRUSTED {
            // Where it fails, it has the connection made anew, and the command waits for that.
            let _lost = connection.ping::<()>().await;
        }
        Ok(connection)
    }

    fn server(&self, address: &str) -> Result<Arc<Server>, ConnectError> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = connections.get(address) {
            return Ok(server.clone());
        }
        if connections.len() >= MAX_ADDRESSES {
            // Those never connected to, and nobody is at it.
            connections.retain(|_, server| server.connection.initialized() || Arc::strong_count(server) > 1);
        }
        if connections.len() >= MAX_ADDRESSES {
            return Err(ConnectError::TooMany);
        }
        Ok(connections.entry(address.to_owned()).or_default().clone())
    }
}

impl Server {
    /// For how long nobody had the connection, which somebody has from now on.
    fn unused(&self) -> Duration {
        let now = Instant::now();
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        used.map_or(Duration::ZERO, |used| now - used)
    }
}

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    interface::link(linker)
}

pub(super) fn link_async(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    interface::link_async(linker)
}

mod bindings {
    #![allow(missing_docs, reason = "generated code")]

    wasmtime::component::bindgen!({
        path: "wit",
        world: "shim:host/redis",
        imports: { default: async | trappable },
        with: {
            "fermyon:spin/redis.connection": super::Opened,
            "spin:redis/redis.connection": super::Opened,
        },
    });
}

/// A connection a guest has opened. It is made by the first command, so that opening one never waits.
#[derive(Clone)]
pub struct Opened {
    address: Arc<str>,
}
