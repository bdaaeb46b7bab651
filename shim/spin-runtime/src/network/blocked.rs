//! Networks that guests may not connect to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use spin_app::outbound::Cidr;

/// Link-local networks, and the addresses outside of them where clouds answer with the machine's
/// metadata, credentials among them. Blocked unless the app names them.
const METADATA: [&str; 8] = [
    "169.254.0.0/16",
    "fe80::/10",
    "fd00:ec2::/32",          // Amazon
    "fd20:ce::254/128",       // Google
    "fd00:c1::a9fe:a9fe/128", // Oracle
    "192.0.0.192/32",         // Oracle, classic
    "100.100.100.200/32",     // Alibaba
    "168.63.129.16/32",       // Azure
];

/// What "private" means: addresses that are not reachable from the whole Internet, by the registries of
/// special-purpose addresses at IANA, and multicast.
const PRIVATE: [&str; 20] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/3",
    // Of IPv6 only 2000::/3 is global unicast.
    "4000::/2",
    "8000::/1",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
];

static METADATA_NETWORKS: LazyLock<Vec<Cidr>> = LazyLock::new(|| parsed(&METADATA));
static PRIVATE_NETWORKS: LazyLock<Vec<Cidr>> = LazyLock::new(|| parsed(&PRIVATE));

fn parsed(networks: &[&str]) -> Vec<Cidr> {
    networks.iter().map(|text| Cidr::parse(text).expect("the constants above are networks")).collect()
}

/// The networks in `[outbound_networking] block_networks`.
#[derive(Debug, Default)]
pub(crate) struct BlockedNetworks {
    /// The keyword `private`.
    pub(crate) private: bool,
    pub(crate) networks: Vec<Cidr>,
}

/// Why an address is blocked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reason {
    Configured,
    Metadata,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configured => "the runtime configuration blocks its network (block_networks)",
            Self::Metadata => "link-local addresses and those of cloud metadata have to be named in allowed_outbound_hosts",
        })
    }
}

impl BlockedNetworks {
    /// Why the address is blocked, if it is. `named`: whether the app names the address, or a network
    /// within the one given. This lifts the default, but not the operator's configuration.
    pub(super) fn find(&self, ip: IpAddr, named: impl Fn(IpAddr, &Cidr) -> bool) -> Option<Reason> {
        let forms = forms(ip);
        let configured =
            |ip: &IpAddr| self.networks.iter().any(|network| network.contains(*ip)) || self.private && is_private(*ip);
        if forms.iter().any(configured) {
            return Some(Reason::Configured);
        }
        let metadata = |ip: &IpAddr| METADATA_NETWORKS.iter().find(|network| network.contains(*ip));
        let range = forms.iter().find_map(metadata)?;
        (!named(ip.to_canonical(), range)).then_some(Reason::Metadata)
    }
}

/// The address, and the others by which a connection to it reaches the same machine.
fn forms(ip: IpAddr) -> Vec<IpAddr> {
    let mut forms = vec![ip.to_canonical()];
    match forms[0] {
        // Linux connects to itself where the address is unspecified.
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => forms.push(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => forms.push(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V6(v6) => forms.extend(v6.to_ipv4().or_else(|| translated(v6)).map(IpAddr::from)),
        IpAddr::V4(_) => {}
    }
    forms
}

/// The IPv4 address that a NAT64 gateway connects to for an address of `64:ff9b::/96` (RFC 6052).
fn translated(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    match ip.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some(Ipv4Addr::from_bits(ip.to_bits() as u32)),
        _ => None,
    }
}

fn is_private(ip: IpAddr) -> bool {
    if PRIVATE_NETWORKS.iter().any(|network| network.contains(ip)) {
        return true;
    }
    // `::/3`, without the addresses of a NAT64 gateway: the IPv4 address in them decides.
    matches!(ip, IpAddr::V6(v6) if v6.segments()[0] < 0x2000 && translated(v6).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(blocked: &BlockedNetworks, ip: &str) -> Option<Reason> {
        blocked.find(ip.parse().unwrap(), |_, _| false)
    }

    #[test]
    fn private_is_what_the_whole_internet_does_not_reach() {
        let blocked = BlockedNetworks { private: true, networks: Vec::new() };
        for ip in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.1.1",
            "127.0.0.1",
            "169.254.0.1",
            "172.31.0.1",
            "192.0.0.1",
            "192.168.1.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.1.2.3",
            "::10.1.2.3",
            "64:ff9b::10.1.2.3",
            "fc00::1",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
        ] {
            assert_eq!(reason(&blocked, ip), Some(Reason::Configured), "{ip}");
        }
        for ip in ["1.1.1.1", "172.32.0.1", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2600::1", "2a00:1450::1"] {
            assert_eq!(reason(&blocked, ip), None, "{ip}");
        }
    }

    #[test]
    fn a_network_blocks_its_addresses_in_all_their_forms() {
        let networks = ["1.2.3.0/24", "127.0.0.0/8", "2600::/16"].map(|text| Cidr::parse(text).unwrap()).to_vec();
        let blocked = BlockedNetworks { private: false, networks };
        for ip in ["1.2.3.4", "::ffff:1.2.3.4", "::1.2.3.4", "64:ff9b::1.2.3.4", "0.0.0.0", "2600::1"] {
            assert_eq!(reason(&blocked, ip), Some(Reason::Configured), "{ip}");
        }
        for ip in ["1.2.4.4", "10.0.0.1", "::1", "2601::1"] {
            assert_eq!(reason(&blocked, ip), None, "{ip}");
        }
    }

    #[test]
    fn addresses_of_metadata_are_blocked_unless_they_are_named() {
        let none = BlockedNetworks::default();
        for ip in ["169.254.169.254", "::ffff:169.254.1.1", "64:ff9b::a9fe:a9fe", "fe80::1", "fd00:ec2::254", "168.63.129.16"] {
            assert_eq!(reason(&none, ip), Some(Reason::Metadata), "{ip}");
            assert_eq!(none.find(ip.parse().unwrap(), |_, _| true), None, "{ip}");
        }
        for ip in ["10.0.0.1", "127.0.0.1", "fd00::1", "168.63.129.17"] {
            assert_eq!(reason(&none, ip), None, "{ip}");
        }
        let blocked = BlockedNetworks { private: true, networks: Vec::new() };
        let named = blocked.find([169, 254, 169, 254].into(), |_, _| true);
        assert_eq!(named, Some(Reason::Configured), "the operator's word counts more");
    }
}
