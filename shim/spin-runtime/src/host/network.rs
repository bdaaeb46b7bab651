//! The outbound connections of a component: `allowed_outbound_hosts` decides about the host, then each
//! address of the host is checked.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use spin_app::outbound::{AllowedHosts, Cidr, OutboundUrl, denied_hint};
use wasmtime_wasi::sockets::SocketAddrUse;

use crate::network::{BlockedAddress, ConnectError, Network};
use crate::output::Output;

/// Decides where a component may connect to, and writes a line to stderr for each refusal.
pub(crate) struct Egress {
    component: String,
    allowed: AllowedHosts,
    network: Arc<Network>,
    stderr: Output,
}

impl Egress {
    pub(crate) fn new(component: &str, allowed: AllowedHosts, network: Arc<Network>, stderr: Output) -> Self {
        Self { component: component.to_owned(), allowed, network, stderr }
    }

    /// Whether the component may connect to anything at all.
    pub(crate) fn is_open(&self) -> bool {
        !self.allowed.is_empty()
    }

    /// Whether it may connect to the host; [`Self::resolve`] decides about the host's addresses.
    pub(crate) fn may_connect(&self, url: &OutboundUrl) -> bool {
        self.allowed.allows(url) || self.denied(url)
    }

    /// Whether it may ask its own app over the scheme.
    pub(crate) fn may_ask_self(&self, scheme: &str) -> bool {
        self.allowed.allows_self(scheme)
            || self.denied(&OutboundUrl { scheme: scheme.to_owned(), host: "self".to_owned(), port: None })
    }

    /// Whether it may use a socket so. It may never be a server.
    pub(crate) fn may_use(&self, address: SocketAddr, usage: SocketAddrUse) -> bool {
        let scheme = match usage {
            // Connecting binds to "any" first.
            SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => return address.ip().is_unspecified() && address.port() == 0,
            SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => return false,
            SocketAddrUse::TcpConnect => "tcp",
            SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => "udp",
        };
        // Anyone can send a datagram: what was not asked for is dropped without a word.
        let quiet = matches!(usage, SocketAddrUse::UdpReceive);
        // An IPv4 address in IPv6 notation counts as the IPv4 address.
        let (ip, port) = (address.ip().to_canonical(), address.port());
        if !self.allowed.allows_addr(scheme, ip, port) {
            return !quiet && self.denied(&OutboundUrl { scheme: "*".to_owned(), host: ip.to_string(), port: Some(port) });
        }
        match self.network.check(&ip.to_string(), ip, self.named(scheme, port)) {
            Ok(()) => true,
            Err(refusal) => !quiet && self.blocked(&refusal),
        }
    }

    /// The addresses of an allowed host that the component may connect to, at least one.
    pub(crate) async fn resolve(&self, scheme: &str, host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
        let resolved = self.network.resolve(host, port, self.named(scheme, port)).await;
        if let Err(ConnectError::Blocked(refusal)) = &resolved {
            self.blocked(refusal);
        }
        resolved
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    fn named(&self, scheme: &str, port: u16) -> impl Fn(IpAddr, &Cidr) -> bool {
        move |ip, range| self.allowed.names_addr(scheme, ip, port, range)
    }

    fn blocked(&self, refusal: &BlockedAddress) -> bool {
        self.stderr.say(&format!("component {:?} may not connect: {refusal}", self.component));
        false
    }

    fn denied(&self, url: &OutboundUrl) -> bool {
        self.stderr.say(&denied_hint(&self.component, url));
        false
    }
}
