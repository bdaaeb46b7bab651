//! Addresses of Redis servers: read, shown without their secrets, connected to.

use std::fmt;
use std::io;
use std::sync::Arc;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A server's address; displayed without its credentials.
#[derive(Clone, Debug)]
pub struct RedisAddress {
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
        if !["redis://", "rediss://", "valkey://", "valkeys://"].iter().any(|scheme| text.starts_with(scheme)) {
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
        Ok(Self { host, port, tls, login: info.redis_settings().clone() })
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

    /// Connects, with TLS where the address asks for it.
    pub async fn connect(&self) -> io::Result<Box<dyn Transport>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        if !self.tls {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(tls()).connect(name, stream).await?))
    }
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

fn tls() -> Arc<ClientConfig> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    // The provider's own protocol versions are always among those it supports.
    let config = config.expect("ring supports the default TLS versions");
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_never_shown() {
        let shown = |text: &str| RedisAddress::parse(text).expect(text).to_string();
        assert_eq!(shown("redis://me:secret@host:7000/3"), "redis://host:7000");
        assert_eq!(shown("rediss://:secret@host"), "rediss://host:6379");
        assert_eq!(shown("redis://[::1]:6379"), "redis://[::1]:6379");
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
}
