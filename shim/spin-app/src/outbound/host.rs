//! The host in an entry of `allowed_outbound_hosts`, and networks of addresses.

use std::net::{IpAddr, Ipv6Addr};

use super::CHAINING_SUFFIX;

/// Which hosts an entry allows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum HostPattern {
    /// `*`
    Any,
    /// `*.example.com`, kept as `.example.com`: any name below, not the domain itself.
    Below(String),
    /// `self`, `self.alt`: the app itself.
    ToSelf,
    /// One name.
    Name(String),
    /// One address.
    Address(IpAddr),
    /// `10.0.0.0/8`
    Network(Cidr),
}

impl HostPattern {
    pub(super) fn parse(host: &str) -> Result<Self, String> {
        if let Some(network) = Cidr::parse(host) {
            return Ok(Self::Network(network));
        }
        match host.strip_suffix('/').unwrap_or(host) {
            "*" => Ok(Self::Any),
            "self" | "self.alt" => Ok(Self::ToSelf),
            list if list.starts_with('{') => {
                Err("lists of hosts in braces are not supported: write an entry for each".to_owned())
            }
            path if path.contains('/') => Err("it has a path, but only whole hosts can be allowed".to_owned()),
            host => match host.strip_prefix("*.") {
                Some(domain) if domain.parse::<IpAddr>().is_ok() => {
                    Err("only names have something below them, addresses don't".to_owned())
                }
                Some(domain) => Ok(Self::Below(format!(".{}", literal(domain)?))),
                None => {
                    host.parse().map(|ip: IpAddr| Self::Address(ip.to_canonical())).or_else(|_| literal(host).map(Self::Name))
                }
            },
        }
    }

    /// The host that stood in brackets: an IPv6 address.
    pub(super) fn parse_ipv6(host: &str) -> Result<Self, String> {
        let address: Ipv6Addr = host.parse().map_err(|_| format!("{host:?} is not an IPv6 address"))?;
        Ok(Self::Address(IpAddr::V6(address).to_canonical()))
    }

    pub(super) fn allows(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::ToSelf => false,
            Self::Name(name) => name == host,
            Self::Below(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
            Self::Address(_) | Self::Network(_) => host.parse().is_ok_and(|ip| self.allows_addr(ip)),
        }
    }

    pub(super) fn allows_addr(&self, ip: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Address(address) => *address == ip.to_canonical(),
            Self::Network(network) => network.contains(ip),
            Self::Name(_) | Self::Below(_) | Self::ToSelf => false,
        }
    }

    /// Whether it is an address or a network within `range`.
    pub(super) fn is_within(&self, range: &Cidr) -> bool {
        match self {
            Self::Address(address) => range.contains(*address),
            Self::Network(network) => network.is_within(range),
            Self::Any | Self::Below(_) | Self::ToSelf | Self::Name(_) => false,
        }
    }

    pub(super) fn is_chaining(&self) -> bool {
        matches!(self, Self::Name(name) if name.ends_with(CHAINING_SUFFIX))
            || matches!(self, Self::Below(suffix) if suffix == CHAINING_SUFFIX)
    }
}

fn literal(host: &str) -> Result<String, String> {
    if host.contains('*') {
        return Err("a `*` stands for the whole host, or before a domain as in `*.example.com`".to_owned());
    }
    name(host).map_err(str::to_owned)
}

/// A host's name in lower case. Only what names of hosts are made of, so that nobody can take it for something else.
pub(super) fn name(host: &str) -> Result<String, &'static str> {
    match host {
        "" => Err("it has no host"),
        _ if !host.is_ascii() => Err("its host must be written in ASCII (`xn--…`)"),
        _ if host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)) => Ok(host.to_ascii_lowercase()),
        _ => Err("its host has a character that names of hosts don't have"),
    }
}

/// The address that stood in brackets, in its usual form.
pub(super) fn ipv6(host: &str) -> Result<String, &'static str> {
    host.parse::<Ipv6Addr>().map(|address| address.to_string()).map_err(|_| "what stands in brackets is not an IPv6 address")
}

/// Digits alone: Rust would take a sign, too.
pub(super) fn number<T: std::str::FromStr>(digits: &str) -> Option<T> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// A network of addresses: `10.0.0.0/8`, `fe80::/10`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cidr {
    network: u128,
    mask: u128,
}

impl Cidr {
    /// Reads an address and a prefix's length; bits behind the prefix don't count.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let length: u32 = number(length)?;
        let (address, length) = match address.parse().ok()? {
            IpAddr::V4(address) if length <= 32 => (address.to_ipv6_mapped(), length + 96),
            IpAddr::V6(address) if length <= 128 => (address, length),
            _ => return None,
        };
        let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
        Some(Self { network: address.to_bits() & mask, mask })
    }

    /// Whether all its addresses lie in the other network.
    pub fn is_within(&self, other: &Self) -> bool {
        self.mask & other.mask == other.mask && self.network & other.mask == other.network
    }

    /// Whether the address lies in it. An IPv4 address is the same whether written as itself or within IPv6.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let bits = match ip {
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(address) => address.to_bits(),
        };
        bits & self.mask == self.network
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, ip: &str) -> bool {
        Cidr::parse(network).unwrap().contains(ip.parse().unwrap())
    }

    #[test]
    fn a_network_holds_what_shares_its_prefix() {
        assert!(contains("10.0.0.0/8", "10.255.0.1"));
        assert!(!contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("10.1.2.3/8", "10.9.9.9"));
        assert!(contains("1.2.3.4/32", "1.2.3.4"));
        assert!(contains("0.0.0.0/0", "200.1.1.1"));
        assert!(contains("fe80::/10", "fe80::1"));
        assert!(!contains("fe80::/10", "::1"));
        assert!(contains("::/0", "::1"));
    }

    #[test]
    fn a_network_lies_within_itself_and_within_wider_ones() {
        let within = |inner: &str, outer: &str| Cidr::parse(inner).unwrap().is_within(&Cidr::parse(outer).unwrap());
        assert!(within("10.1.0.0/16", "10.0.0.0/8") && within("10.0.0.0/8", "10.0.0.0/8"));
        assert!(!within("10.0.0.0/8", "10.1.0.0/16") && !within("11.0.0.0/16", "10.0.0.0/8"));
    }

    #[test]
    fn ipv4_within_ipv6_is_ipv4() {
        assert!(contains("10.0.0.0/8", "::ffff:10.0.0.1"));
        assert!(!contains("0.0.0.0/0", "::1"));
    }

    #[test]
    fn malformed_networks_are_none() {
        for text in ["10.0.0.0", "10.0.0.0/33", "::/129", "10.0.0/8", "a/8", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/-1", "/8"] {
            assert_eq!(Cidr::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_domain_below_is_not_the_domain() {
        let below = HostPattern::parse("*.Example.com").unwrap();
        assert!(below.allows("a.example.com") && below.allows("a.b.example.com"));
        assert!(!below.allows("example.com") && !below.allows(".example.com") && !below.allows("badexample.com"));
    }

    #[test]
    fn addresses_are_compared_as_addresses() {
        let host = HostPattern::parse_ipv6("0:0:0:0:0:0:0:1").unwrap();
        assert!(host.allows("::1"));
        assert!(HostPattern::parse("127.0.0.1").unwrap().allows_addr("::ffff:127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn chaining_hosts_are_known() {
        for (host, chaining) in
            [("a.spin.internal", true), ("*.spin.internal", true), ("spin.internal", false), ("*", false), ("*.internal", false)]
        {
            assert_eq!(HostPattern::parse(host).unwrap().is_chaining(), chaining, "{host}");
        }
    }
}
