//! Addresses of Redis servers: read, shown without their secrets, connected to.
//!
//! All connections to Redis are made here, and not by the client library, which would resolve names and
//! choose certificates in its own way.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use crate::network::{ConnectError, Network};
use crate::redis_limit::LimitedReplies;

/// A server's address; displayed without its credentials.
#[derive(Clone, Debug)]
pub struct RedisAddress {
    scheme: String,
    host: String,
    port: u16,
    tls: bool,
    login: RedisConnectionInfo,
}

/// Bytes to and from a server, whatever carries them.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

impl RedisAddress {
    /// Reads an address; the reason says what is wrong without repeating it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase()).unwrap_or_default();
        if !["redis", "rediss", "valkey", "valkeys"].contains(&scheme.as_str()) {
            return Err("it must begin with redis:// or rediss://");
        }
        let info: ConnectionInfo =
            text.into_connection_info().map_err(|_| "it is not redis://[user:password@]host[:port][/db]")?;
        let (host, port, tls) = match info.addr() {
            ConnectionAddr::Tcp(host, port) => (host, *port, false),
            ConnectionAddr::TcpTls { host, port, insecure: false, .. } => (host, *port, true),
            ConnectionAddr::TcpTls { .. } => return Err("TLS without verification is not supported"),
            _ => return Err("it must name a host"),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err("it must name a host");
        }
        Ok(Self { scheme, host, port, tls, login: info.redis_settings().clone() })
    }

    /// The text without what may be a password in it, for messages about texts that are no addresses.
    pub fn redact(text: &str) -> String {
        let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
        let rest = match rest.rsplit_once('@') {
            Some((_, host)) => format!("***@{host}"),
            None => rest.to_owned(),
        };
        let rest = rest.split('?').next().unwrap_or_default();
        if scheme.is_empty() { rest.to_owned() } else { format!("{scheme}://{rest}") }
    }

    /// How to introduce oneself to the server.
    pub fn login(&self) -> &RedisConnectionInfo {
        &self.login
    }

    /// `redis`, `rediss`, `valkey` or `valkeys`.
    pub(crate) fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The server's host; an IPv6 address without its brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The server's port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Connects to a server that the app's author or the operator has chosen: link-local addresses only
    /// where this address is one itself, blocked networks never. The connection ends where a reply has
    /// more than `max_reply_bytes`.
    pub async fn connect(&self, network: &Network, max_reply_bytes: u64) -> Result<Box<dyn Transport>, ConnectError> {
        let own: Option<IpAddr> = self.host.parse().ok();
        let own = own.map(|ip| ip.to_canonical());
        let addresses = network.resolve(&self.host, self.port, |ip, _| own == Some(ip)).await?;
        self.connect_to(&addresses, network, max_reply_bytes).await
    }

    /// Connects to a server that the operator has chosen: nothing is blocked.
    pub(crate) async fn connect_unchecked(
        &self,
        network: &Network,
        max_reply_bytes: u64,
    ) -> Result<Box<dyn Transport>, ConnectError> {
        let resolved = lookup_host((self.host.as_str(), self.port)).await;
        let resolved = resolved.map_err(|source| ConnectError::Resolve { host: self.host.clone(), source })?;
        self.connect_to(&resolved.collect::<Vec<_>>(), network, max_reply_bytes).await
    }

    /// Connects to one of the server's addresses, with TLS where this address asks for it.
    pub(crate) async fn connect_to(
        &self,
        addresses: &[SocketAddr],
        network: &Network,
        max_reply_bytes: u64,
    ) -> Result<Box<dyn Transport>, ConnectError> {
        let stream = TcpStream::connect(addresses).await?;
        stream.set_nodelay(true)?;
        if !self.tls {
            return Ok(Box::new(LimitedReplies::new(stream, max_reply_bytes)));
        }
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        let stream = TlsConnector::from(network.tls().clone()).connect(name, stream).await?;
        Ok(Box::new(LimitedReplies::new(stream, max_reply_bytes)))
    }
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = &self.scheme;
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use spin_app::outbound::Cidr;
    use tokio::net::TcpListener;

    use super::*;
    use crate::network::BlockedNetworks;

    #[test]
    fn credentials_are_never_shown() {
        let shown = |text: &str| RedisAddress::parse(text).expect(text).to_string();
        assert_eq!(shown("redis://me:secret@host:7000/3"), "redis://host:7000");
        assert_eq!(shown("rediss://:secret@host"), "rediss://host:6379");
        assert_eq!(shown("redis://[::1]:6379"), "redis://[::1]:6379");
        assert_eq!(shown("ValKeys://me:secret@host"), "valkeys://host:6379");
        assert_eq!(RedisAddress::redact("reddis://me:se@cret@host:1"), "reddis://***@host:1");
        assert_eq!(RedisAddress::redact("me:secret@host?password=x"), "***@host");
    }

    #[test]
    fn credentials_and_database_are_kept_for_the_server() {
        let address = RedisAddress::parse("redis://me:secret@host/3").expect("valid");
        assert_eq!(
            (address.login().username(), address.login().password(), address.login().db()),
            (Some("me"), Some("secret"), 3)
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "host:6379", "http://host", "redis://", "redis://host:port", "redis+unix:///s", "rediss://h/#insecure"] {
            assert!(RedisAddress::parse(text).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn the_address_of_a_trigger_is_held_to_blocked_networks() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        for (networks, blocked) in [(&["127.0.0.0/8", "::1/128"][..], true), (&["10.0.0.0/8"], false)] {
            let networks = networks.iter().filter_map(|text| Cidr::parse(text)).collect();
            let network = Network::new(BlockedNetworks { private: false, networks }, None);
            for host in ["localhost", "127.0.0.1", "0x7f.1"] {
                let address = RedisAddress::parse(&format!("redis://{host}:{port}")).expect("valid");
                let connected = address.connect(&network, 1 << 20).await;
                assert_eq!(matches!(connected, Err(ConnectError::Blocked(_))), blocked, "{host}");
                assert_eq!(connected.is_err(), blocked, "{host}");
            }
        }
    }

    #[tokio::test]
    async fn the_address_of_a_trigger_is_link_local_only_by_itself() {
        let network = Network::new(BlockedNetworks::default(), None);
        let own = RedisAddress::parse("redis://[fe80::1]:1").expect("valid").connect(&network, 1 << 20).await;
        assert!(matches!(own, Err(ConnectError::Io(_))), "without a scope, connecting fails at once");
        let other = RedisAddress::parse("redis://0xa9fea9fe:1").expect("valid").connect(&network, 1 << 20).await;
        assert!(matches!(other, Err(ConnectError::Blocked(_))), "169.254.169.254 as a number");
    }
}
