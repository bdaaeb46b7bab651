//! Outbound connections: a name is resolved, each of its addresses is checked, and only the addresses that
//! passed are connected to.
//!
//! The allow-list of a component is checked before that, by name ([`crate::host`]). A name alone is not
//! enough, because the owner of a domain can give it any address.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use spin_app::outbound::Cidr;
use tokio::net::lookup_host;

mod blocked;
mod tls;

pub(crate) use blocked::BlockedNetworks;
use blocked::Reason;
pub(crate) use tls::{certificate_files, given_file};

/// The blocked networks and the TLS configuration of all outbound connections of the app.
#[derive(Debug)]
pub struct Network {
    blocked: BlockedNetworks,
    certificates: Option<PathBuf>,
    tls: OnceLock<Arc<ClientConfig>>,
}

/// Why there is no connection to a host.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name server knows no address, or did not answer.
    #[error("the name {host:?} can't be resolved: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// The resolver's error.
        source: io::Error,
    },
    /// All addresses of the host are in networks that are blocked.
    #[error(transparent)]
    Blocked(#[from] BlockedAddress),
    /// Connecting failed, or what TLS does first.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// An address that may not be connected to.
#[derive(Debug, thiserror::Error)]
#[error("{ip}, an address of {host:?}, is blocked: {reason}")]
pub struct BlockedAddress {
    host: String,
    ip: IpAddr,
    reason: Reason,
}

impl Network {
    /// `certificates`: a file of certificate authorities to trust besides the usual ones.
    pub(crate) fn new(blocked: BlockedNetworks, certificates: Option<PathBuf>) -> Self {
        Self { blocked, certificates, tls: OnceLock::new() }
    }

    /// TLS as a client, for any host. The certificates are read when they are first needed.
    pub(crate) fn tls(&self) -> &Arc<ClientConfig> {
        self.tls.get_or_init(|| Arc::new(tls::client_config(self.certificates.as_deref())))
    }

    /// The addresses of a host that may be connected to, at least one. `named`: whether the app is
    /// allowed to connect to the address because it names the address, or a network within the one given.
    pub(crate) async fn resolve(
        &self,
        host: &str,
        port: u16,
        named: impl Fn(IpAddr, &Cidr) -> bool,
    ) -> Result<Vec<SocketAddr>, ConnectError> {
        let resolved = lookup_host((host, port)).await;
        let resolved = resolved.map_err(|source| ConnectError::Resolve { host: host.to_owned(), source })?;
        let (mut open, mut blocked) = (Vec::new(), None);
        for address in resolved {
            match self.check(host, address.ip(), &named) {
                Ok(()) => open.push(address),
                Err(refusal) => blocked = Some(refusal),
            }
        }
        match blocked {
            Some(refusal) if open.is_empty() => Err(refusal.into()),
            _ => Ok(open),
        }
    }

    /// Checks one address of the host.
    pub(crate) fn check(&self, host: &str, ip: IpAddr, named: impl Fn(IpAddr, &Cidr) -> bool) -> Result<(), BlockedAddress> {
        match self.blocked.find(ip, named) {
            None => Ok(()),
            Some(reason) => Err(BlockedAddress { host: host.to_owned(), ip, reason }),
        }
    }
}
