//! `allowed_outbound_hosts`: whether a component may go where it wants to, and what it is told if not.

use std::net::{IpAddr, SocketAddr};

use spin_app::outbound::{OutboundUrl, denied_hint};
use wasmtime_wasi::sockets::SocketAddrUse;

use super::Guest;
use crate::report;

impl Guest {
    /// Whether it may connect to the address; if not, that is said on stderr.
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
        let ip = canonical(address.ip());
        if self.allowed.allows_addr(scheme, ip, address.port()) {
            return true;
        }
        // Anyone can send a datagram: what was not asked for is dropped without a word.
        !matches!(usage, SocketAddrUse::UdpReceive)
            && self.denied(&OutboundUrl { scheme: "*".to_owned(), host: ip.to_string(), port: Some(address.port()) })
    }

    fn denied(&self, url: &OutboundUrl) -> bool {
        report::say(&denied_hint(&self.id, url));
        false
    }
}

/// An IPv4 address in an IPv6 one's clothes is still that IPv4 address.
fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}
