//! `fermyon:spin/redis@2.0.0` and `spin:redis/redis@3.0.0`: the same functions, synchronous and asynchronous.

use std::sync::Arc;

use redis::{AsyncCommands, Value};
use spin_app::outbound::OutboundUrl;
use wasmtime::component::{Accessor, Linker, Resource};

use super::super::{Guest, HostState, Spin};
use super::bindings::fermyon::spin2_0_0::redis as v2;
use super::bindings::spin::redis::redis as v3;
use super::values::{Failure, Item, Parameter, command, items};
use super::{ConnectError, Opened, Route};
use crate::RedisAddress;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    v2::add_to_linker::<_, Spin>(linker, |state| state)
}

pub(super) fn link_async(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    v3::add_to_linker::<_, Spin>(linker, |state| state)
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::InvalidAddress => Self::InvalidAddress,
            ConnectError::TooMany => Self::TooManyConnections,
            ConnectError::Unreachable(_) | ConnectError::Failed(_) | ConnectError::TimedOut => Self::Other(error.to_string()),
        }
    }
}

impl HostState {
    fn open_connection(&mut self, address: &str) -> Result<Resource<Opened>, Failure> {
        let url = checked_address(address).ok_or(Failure::InvalidAddress)?;
        if !self.guest.egress.may_connect(&url) {
            return Err(Failure::InvalidAddress);
        }
        self.table.push(Opened { address: address.into(), own: Arc::default() }).map_err(|_| Failure::TooManyConnections)
    }

    /// What is needed to ask the connection's server, apart from the store.
    fn server(&self, connection: &Resource<Opened>) -> wasmtime::Result<Server> {
        Ok(Server { guest: self.guest.clone(), opened: self.table.get(connection)?.clone() })
    }
}

/// The address as the allow-list looks at it. `None` unless it leads to a host by Redis' protocol: the client also knows addresses of sockets in the
/// file system, and must read the same host and port as this.
fn checked_address(address: &str) -> Option<OutboundUrl> {
    let url = OutboundUrl::parse(address, "redis").ok()?;
    let server = RedisAddress::parse(address).ok()?;
    let port = server.port();
    let same = server.host().eq_ignore_ascii_case(&url.host) && port == url.port.unwrap_or(DEFAULT_PORT);
    same.then_some(OutboundUrl { port: Some(port), ..url })
}

const DEFAULT_PORT: u16 = 6379;

/// The functions themselves.
struct Server {
    guest: Arc<Guest>,
    opened: Opened,
}

impl Server {
    async fn connection(&self) -> Result<Route, Failure> {
        match self.opened.own.get() {
            Some(own) => Ok(Route::Own(own.connection.clone())),
            None => Ok(Route::Shared(self.guest.redis.connection(&self.opened.address).await?)),
        }
    }

    async fn own_connection(&self) -> Result<Route, Failure> {
        let connect = || self.guest.redis.own_connection(&self.opened.address);
        Ok(Route::Own(self.opened.own.get_or_try_init(connect).await?.connection.clone()))
    }

    async fn publish(&self, channel: String, payload: Vec<u8>) -> Result<(), Failure> {
        Ok(self.connection().await?.publish(channel, payload).await?)
    }

    async fn get(&self, key: String) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.connection().await?.get(key).await?)
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Result<(), Failure> {
        Ok(self.connection().await?.set(key, value).await?)
    }

    async fn incr(&self, key: String) -> Result<i64, Failure> {
        Ok(self.connection().await?.incr(key, 1).await?)
    }

    async fn del(&self, keys: Vec<String>) -> Result<u32, Failure> {
        if keys.is_empty() {
            return Ok(0);
        }
        Ok(self.connection().await?.del(keys).await?)
    }

    async fn sadd(&self, key: String, values: Vec<String>) -> Result<u32, Failure> {
        if values.is_empty() {
            return Ok(0);
        }
        Ok(self.connection().await?.sadd(key, values).await?)
    }

    async fn smembers(&self, key: String) -> Result<Vec<String>, Failure> {
        Ok(self.connection().await?.smembers(key).await?)
    }

    async fn srem(&self, key: String, values: Vec<String>) -> Result<u32, Failure> {
        if values.is_empty() {
            return Ok(0);
        }
        Ok(self.connection().await?.srem(key, values).await?)
    }

    async fn execute(&self, name: String, parameters: Vec<Parameter>) -> Result<Vec<Item>, Failure> {
        let command = command(&name, parameters);
        items(command.query_async::<Value>(&mut self.own_connection().await?).await?)
    }
}

type Answer<T, E> = wasmtime::Result<Result<T, E>>;

/// The types of both versions, which differ in name alone.
macro_rules! conversions {
    ($version:ident) => {
        impl From<Failure> for $version::Error {
            fn from(failure: Failure) -> Self {
                match failure {
                    Failure::InvalidAddress => Self::InvalidAddress,
                    Failure::TooManyConnections => Self::TooManyConnections,
                    Failure::TypeError => Self::TypeError,
                    Failure::Other(reason) => Self::Other(reason),
                }
            }
        }

        impl From<$version::RedisParameter> for Parameter {
            fn from(parameter: $version::RedisParameter) -> Self {
                match parameter {
                    $version::RedisParameter::Int64(number) => Self::Int64(number),
                    $version::RedisParameter::Binary(bytes) => Self::Binary(bytes),
                }
            }
        }

        impl From<Item> for $version::RedisResult {
            fn from(item: Item) -> Self {
                match item {
                    Item::Nil => Self::Nil,
                    Item::Status(status) => Self::Status(status),
                    Item::Int64(number) => Self::Int64(number),
                    Item::Binary(bytes) => Self::Binary(bytes),
                }
            }
        }
    };
}

conversions!(v2);
conversions!(v3);

impl v2::Host for HostState {}

impl v2::HostConnection for HostState {
    async fn open(&mut self, address: String) -> Answer<Resource<Opened>, v2::Error> {
        Ok(self.open_connection(&address).map_err(Into::into))
    }

    async fn publish(&mut self, this: Resource<Opened>, channel: String, payload: Vec<u8>) -> Answer<(), v2::Error> {
        Ok(self.server(&this)?.publish(channel, payload).await.map_err(Into::into))
    }

    async fn get(&mut self, this: Resource<Opened>, key: String) -> Answer<Option<Vec<u8>>, v2::Error> {
        Ok(self.server(&this)?.get(key).await.map_err(Into::into))
    }

    async fn set(&mut self, this: Resource<Opened>, key: String, value: Vec<u8>) -> Answer<(), v2::Error> {
        Ok(self.server(&this)?.set(key, value).await.map_err(Into::into))
    }

    async fn incr(&mut self, this: Resource<Opened>, key: String) -> Answer<i64, v2::Error> {
        Ok(self.server(&this)?.incr(key).await.map_err(Into::into))
    }

    async fn del(&mut self, this: Resource<Opened>, keys: Vec<String>) -> Answer<u32, v2::Error> {
        Ok(self.server(&this)?.del(keys).await.map_err(Into::into))
    }

    async fn sadd(&mut self, this: Resource<Opened>, key: String, values: Vec<String>) -> Answer<u32, v2::Error> {
        Ok(self.server(&this)?.sadd(key, values).await.map_err(Into::into))
    }

    async fn smembers(&mut self, this: Resource<Opened>, key: String) -> Answer<Vec<String>, v2::Error> {
        Ok(self.server(&this)?.smembers(key).await.map_err(Into::into))
    }

    async fn srem(&mut self, this: Resource<Opened>, key: String, values: Vec<String>) -> Answer<u32, v2::Error> {
        Ok(self.server(&this)?.srem(key, values).await.map_err(Into::into))
    }

    async fn execute(
        &mut self,
        this: Resource<Opened>,
        command: String,
        arguments: Vec<v2::RedisParameter>,
    ) -> Answer<Vec<v2::RedisResult>, v2::Error> {
        let arguments = arguments.into_iter().map(Into::into).collect();
        let items = self.server(&this)?.execute(command, arguments).await;
        Ok(items.map(|items| items.into_iter().map(Into::into).collect()).map_err(Into::into))
    }

    async fn drop(&mut self, this: Resource<Opened>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl v3::Host for HostState {}

impl v3::HostConnection for HostState {
    async fn drop(&mut self, this: Resource<Opened>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

type State = Accessor<HostState, Spin>;

fn server(state: &State, connection: &Resource<Opened>) -> wasmtime::Result<Server> {
    state.with(|mut access| access.get().server(connection))
}

impl v3::HostConnectionWithStore<HostState> for Spin {
    async fn open(state: &State, address: String) -> Answer<Resource<Opened>, v3::Error> {
        Ok(state.with(|mut access| access.get().open_connection(&address)).map_err(Into::into))
    }

    async fn publish(state: &State, this: Resource<Opened>, channel: String, payload: Vec<u8>) -> Answer<(), v3::Error> {
        Ok(server(state, &this)?.publish(channel, payload).await.map_err(Into::into))
    }

    async fn get(state: &State, this: Resource<Opened>, key: String) -> Answer<Option<Vec<u8>>, v3::Error> {
        Ok(server(state, &this)?.get(key).await.map_err(Into::into))
    }

    async fn set(state: &State, this: Resource<Opened>, key: String, value: Vec<u8>) -> Answer<(), v3::Error> {
        Ok(server(state, &this)?.set(key, value).await.map_err(Into::into))
    }

    async fn incr(state: &State, this: Resource<Opened>, key: String) -> Answer<i64, v3::Error> {
        Ok(server(state, &this)?.incr(key).await.map_err(Into::into))
    }

    async fn del(state: &State, this: Resource<Opened>, keys: Vec<String>) -> Answer<u32, v3::Error> {
        Ok(server(state, &this)?.del(keys).await.map_err(Into::into))
    }

    async fn sadd(state: &State, this: Resource<Opened>, key: String, values: Vec<String>) -> Answer<u32, v3::Error> {
        Ok(server(state, &this)?.sadd(key, values).await.map_err(Into::into))
    }

    async fn smembers(state: &State, this: Resource<Opened>, key: String) -> Answer<Vec<String>, v3::Error> {
        Ok(server(state, &this)?.smembers(key).await.map_err(Into::into))
    }

    async fn srem(state: &State, this: Resource<Opened>, key: String, values: Vec<String>) -> Answer<u32, v3::Error> {
        Ok(server(state, &this)?.srem(key, values).await.map_err(Into::into))
    }

    async fn execute(
        state: &State,
        this: Resource<Opened>,
        command: String,
        arguments: Vec<v3::RedisParameter>,
    ) -> Answer<Vec<v3::RedisResult>, v3::Error> {
        let arguments = arguments.into_iter().map(Into::into).collect();
        let items = server(state, &this)?.execute(command, arguments).await;
        Ok(items.map(|items| items.into_iter().map(Into::into).collect()).map_err(Into::into))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_to_a_host_by_redis_protocol() {
        for (address, scheme, host, port) in [
            ("redis://cache", "redis", "cache", 6379),
            ("redis://user:secret@cache:1234/2?protocol=resp3", "redis", "cache", 1234),
            ("REDISS://cache:1", "rediss", "cache", 1),
            ("redis://[::1]:1", "redis", "::1", 1),
            ("valkey://cache", "valkey", "cache", 6379),
        ] {
            let url = checked_address(address).unwrap_or_else(|| panic!("{address}"));
            assert_eq!((url.scheme.as_str(), url.host.as_str(), url.port), (scheme, host, Some(port)), "{address}");
        }
        for address in [
            "redis+unix://localhost/run/docker.sock",
            "redis+unix:///run/x.sock",
            "unix:///run/x.sock",
            "http://cache",
            "",
            "redis://",
        ] {
            assert!(checked_address(address).is_none(), "{address}");
        }
    }
}
