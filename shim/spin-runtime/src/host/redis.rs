//! Redis: one connection for each address, shared by all instances of a component, made anew when it is lost; and one for each guest's connection
//! that executes commands of its choice.

mod interface;
pub(crate) mod values;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::{AsyncCommands, AsyncConnectionConfig, Cmd, Pipeline, RedisError, RedisFuture, RedisResult, Value};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use wasmtime::component::Linker;

use super::HostState;
use super::network::Egress;
use crate::network::{self, Network};
use crate::redis_address::{RedisAddress, Transport};

/// For a connection, and for the answer to one command.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(30);
/// A connection nobody used for so long is tried before it is handed out: its server may have gone and come back, and the command that finds that out
/// is lost, because nobody can say whether it was executed.
const TRUSTED: Duration = Duration::from_millis(10);
/// Bytes of a reply: a key-value store's longest value, and what is around it.
const MAX_REPLY_BYTES: u64 = 129 << 20;
/// Shared connections that are kept; templates and user input can make any number of addresses.
const MAX_SHARED_CONNECTIONS: usize = 256;
/// Guests' own connections at once.
const MAX_OWN_CONNECTIONS: usize = 256;

/// A shared connection; clones share it, and their commands are sent without waiting for each other's answers.
#[derive(Clone)]
pub(crate) struct Connection {
    inner: MultiplexedConnection,
    /// Whether a command has found that the connection is lost.
    lost: Arc<AtomicBool>,
}

/// The servers that a component talks to, or the key-value stores of all components.
#[derive(Clone)]
pub(crate) struct Servers {
    origin: Origin,
    connections: Arc<Mutex<HashMap<String, Arc<Server>>>>,
    own: Arc<Semaphore>,
}

/// Who has chosen the addresses: a component may not connect to all of them.
#[derive(Clone)]
enum Origin {
    Component(Arc<Egress>),
    Operator(Arc<Network>),
}

impl Origin {
    async fn connect(&self, address: &RedisAddress) -> Result<Box<dyn Transport>, network::ConnectError> {
        match self {
            Self::Component(egress) => {
                let addresses = egress.resolve(address.scheme(), address.host(), address.port()).await?;
                address.connect_to(&addresses, egress.network(), MAX_REPLY_BYTES).await
            }
            Self::Operator(network) => address.connect_unchecked(network, MAX_REPLY_BYTES).await,
        }
    }
}

/// The connection to one server, once there is one, and when it was last handed out.
#[derive(Default)]
struct Server {
    connection: tokio::sync::Mutex<Option<Connection>>,
    used: Mutex<Option<Instant>>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("this is not a Redis address")]
    InvalidAddress,
    #[error("there are too many connections")]
    TooMany,
    #[error("can't connect: {0}")]
    Unreachable(#[from] network::ConnectError),
    #[error("can't connect: {0}")]
    Failed(#[from] RedisError),
    #[error("can't connect: the server does not answer")]
    TimedOut,
}

impl Servers {
    /// The servers of a component.
    pub(crate) fn of_component(egress: Arc<Egress>) -> Self {
        Self::new(Origin::Component(egress))
    }

    /// The servers that the operator has configured.
    pub(crate) fn of_operator(network: Arc<Network>) -> Self {
        Self::new(Origin::Operator(network))
    }

    fn new(origin: Origin) -> Self {
        Self { origin, connections: Arc::default(), own: Arc::new(Semaphore::new(MAX_OWN_CONNECTIONS)) }
    }

    /// The connection to the address, made if it is not there.
    pub(crate) async fn connection(&self, address: &str) -> Result<Connection, ConnectError> {
        let server = self.server(address);
        let mut connection = self.shared_connection(&server, address).await?;
        if server.unused() > TRUSTED {
            let _answer = connection.ping::<()>().await;
            if connection.is_lost() {
                return self.shared_connection(&server, address).await;
            }
        }
        Ok(connection)
    }

    async fn shared_connection(&self, server: &Server, address: &str) -> Result<Connection, ConnectError> {
        let mut connection = server.connection.lock().await;
        match &*connection {
            Some(connection) if !connection.is_lost() => Ok(connection.clone()),
            _ => {
                let inner = self.connect(address).await?;
                Ok(connection.insert(Connection { inner, lost: Arc::default() }).clone())
            }
        }
    }

    /// A connection of one guest's own. It is not made anew when it is lost, because the server forgets what commands have set.
    async fn own_connection(&self, address: &str) -> Result<OwnConnection, ConnectError> {
        let permit = self.own.clone().try_acquire_owned().map_err(|_| ConnectError::TooMany)?;
        Ok(OwnConnection { connection: self.connect(address).await?, _permit: permit })
    }

    async fn connect(&self, address: &str) -> Result<MultiplexedConnection, ConnectError> {
        let address = RedisAddress::parse(address).map_err(|_| ConnectError::InvalidAddress)?;
        let connecting = async {
            let stream = self.origin.connect(&address).await?;
            let config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER));
            let (connection, driver) = MultiplexedConnection::new_with_config(address.login(), stream, config).await?;
            // It ends with the last clone of the connection.
            tokio::spawn(driver);
            Ok(connection)
        };
        timeout(CONNECT, connecting).await.unwrap_or(Err(ConnectError::TimedOut))
    }

    fn server(&self, address: &str) -> Arc<Server> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = connections.get(address) {
            return server.clone();
        }
        if connections.len() >= MAX_SHARED_CONNECTIONS {
            // A command that is under way has its own clone of the connection.
            let longest_unused =
                connections.iter().min_by_key(|(_, server)| server.last_used()).map(|(address, _)| address.clone());
            longest_unused.map(|address| connections.remove(&address));
        }
        connections.entry(address.to_owned()).or_default().clone()
    }
}

impl Connection {
    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }
}

/// Notes in `lost` if the answer says that the connection is.
fn note<T>(lost: &AtomicBool, answer: RedisResult<T>) -> RedisResult<T> {
    if let Err(error) = &answer
        && error.is_unrecoverable_error()
    {
        lost.store(true, Ordering::Relaxed);
    }
    answer
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async { note(&self.lost, self.inner.req_packed_command(command).await) })
    }

    fn req_packed_commands<'a>(&'a mut self, pipeline: &'a Pipeline, offset: usize, count: usize) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move { note(&self.lost, self.inner.req_packed_commands(pipeline, offset, count).await) })
    }

    fn get_db(&self) -> i64 {
        self.inner.get_db()
    }
}

impl Server {
    /// For how long nobody had the connection, which somebody has from now on.
    fn unused(&self) -> Duration {
        let now = Instant::now();
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        used.map_or(Duration::ZERO, |used| now - used)
    }

    fn last_used(&self) -> Option<Instant> {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// There from the first command of the guest's choice on: such a command may change the connection's state (`SELECT`, `MULTI`), or
    /// keep it waiting (`BLPOP`), which must not reach others.
    own: Arc<OnceCell<OwnConnection>>,
}

struct OwnConnection {
    connection: MultiplexedConnection,
    _permit: OwnedSemaphorePermit,
}

/// The connection that a command is sent over.
enum Route {
    Shared(Connection),
    Own(MultiplexedConnection),
}

impl Route {
    fn inner(&self) -> &dyn ConnectionLike {
        match self {
            Self::Shared(connection) => connection,
            Self::Own(connection) => connection,
        }
    }

    fn inner_mut(&mut self) -> &mut dyn ConnectionLike {
        match self {
            Self::Shared(connection) => connection,
            Self::Own(connection) => connection,
        }
    }
}

impl ConnectionLike for Route {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        self.inner_mut().req_packed_command(command)
    }

    fn req_packed_commands<'a>(&'a mut self, pipeline: &'a Pipeline, offset: usize, count: usize) -> RedisFuture<'a, Vec<Value>> {
        self.inner_mut().req_packed_commands(pipeline, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.inner().get_db()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::BlockedNetworks;

    #[test]
    fn the_longest_unused_connection_gives_way_to_a_new_one() {
        let network = Arc::new(Network::new(BlockedNetworks::default(), None));
        let servers = Servers::of_operator(network);
        for number in 0..MAX_SHARED_CONNECTIONS {
            servers.server(&format!("redis://127.0.0.1:{number}")).unused();
        }
        servers.server("redis://127.0.0.1:0").unused();
        let new = servers.server("redis://new");
        let addresses = servers.connections.lock().unwrap();
        assert_eq!(addresses.len(), MAX_SHARED_CONNECTIONS);
        assert!(Arc::ptr_eq(&addresses["redis://new"], &new));
        assert!(addresses.contains_key("redis://127.0.0.1:0") && !addresses.contains_key("redis://127.0.0.1:1"));
    }
}
