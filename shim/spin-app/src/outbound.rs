//! Where a component may connect to: the entries of `allowed_outbound_hosts`, and the question whether they allow an address.

use std::net::IpAddr;

use crate::Error;

mod address;
mod entry;
mod host;
mod http_hosts;
mod port;

pub use address::OutboundUrl;
pub use entry::AllowedHost;
pub use host::Cidr;
pub(crate) use http_hosts::from_http_hosts;

/// Requests to `<component>.spin.internal` stay within the app.
const CHAINING_SUFFIX: &str = ".spin.internal";

/// A component's allowed hosts; none at all by default.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AllowedHosts {
    entries: Vec<AllowedHost>,
}

impl AllowedHosts {
    /// Reads the entries, their variables already resolved. An entry that came out empty by that is left out: an endpoint nobody configured.
    pub fn parse(entries: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, Error> {
        let mut allowed = Self::default();
        for entry in entries {
            match entry.as_ref() {
                "" | "http://" | "https://" => {}
                entry => allowed.entries.push(AllowedHost::parse(entry)?),
            }
        }
        Ok(allowed)
    }

    /// Whether any entry allows the address.
    pub fn allows(&self, url: &OutboundUrl) -> bool {
        self.entries.iter().any(|entry| entry.allows(url))
    }

    /// Whether any entry allows a connection to an address without a name, as raw sockets make them (`tcp`, `udp`).
    pub fn allows_addr(&self, scheme: &str, ip: IpAddr, port: u16) -> bool {
        self.entries.iter().any(|entry| entry.allows_addr(scheme, ip, port))
    }

    /// Whether an entry allows a connection to the address because it names the address itself, or a network
    /// within `range`. An entry with a name, a wildcard or a wider network does not.
    pub fn names_addr(&self, scheme: &str, ip: IpAddr, port: u16, range: &Cidr) -> bool {
        self.entries.iter().any(|entry| entry.names_addr(scheme, ip, port, range))
    }

    /// Whether nothing at all is allowed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the app may send requests to itself (`http://self`, relative URLs) over the scheme.
    pub fn allows_self(&self, scheme: &str) -> bool {
        self.entries.iter().any(|entry| entry.allows_self(scheme))
    }
}

/// The component meant by the host `<component>.spin.internal`.
pub fn chained_component(host: &str) -> Option<&str> {
    host.strip_suffix(CHAINING_SUFFIX).filter(|id| !id.is_empty() && !id.contains('.'))
}

/// The port a scheme means where a URL has none.
pub fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        "redis" | "rediss" | "valkey" | "valkeys" => Some(6379),
        "mysql" => Some(3306),
        "postgres" => Some(5432),
        "mqtt" => Some(1883),
        _ => None,
    }
}

/// The longest URL that an error shows.
const MAX_SHOWN_CHARS: usize = 200;

/// The URL as errors may show it: without user name and password, and cut to [`MAX_SHOWN_CHARS`].
fn without_user(url: &str) -> String {
    let start = url.find("://").map_or(0, |start| start + 3);
    let rest = url[start..].rsplit_once('@').map_or(&url[start..], |(_, rest)| rest);
    url[..start].chars().chain(rest.chars()).take(MAX_SHOWN_CHARS).collect()
}

/// Whether an entry with one scheme allows addresses with the other. An entry for `redis` allows each scheme of Redis'
/// protocol, as in Spin, where TLS and the product's name don't count; the others allow themselves alone.
fn scheme_allows(entry: &str, scheme: &str) -> bool {
    entry == scheme || (entry == "redis" && matches!(scheme, "rediss" | "valkey" | "valkeys"))
}

/// What to tell the person who reads a component's stderr when it was denied an address.
pub fn denied_hint(component: &str, url: &OutboundUrl) -> String {
    format!(
        "component {component:?} is not allowed to reach {url}. To allow this request, add 'allowed_outbound_hosts = [\"{url}\"]' to the manifest component section."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(entries: &[&str], url: &str) -> bool {
        AllowedHosts::parse(entries).unwrap().allows(&OutboundUrl::parse(url, "http").unwrap())
    }

    #[test]
    fn nothing_is_allowed_by_default() {
        assert!(!allows(&[], "http://example.com"));
        assert!(!AllowedHosts::default().allows_self("http"));
        assert!(!AllowedHosts::default().allows_addr("tcp", [127, 0, 0, 1].into(), 80));
    }

    #[test]
    fn any_of_several_entries_will_do() {
        let entries = ["https://example.com", "redis://cache:6379"];
        assert!(allows(&entries, "redis://cache"));
        assert!(allows(&entries, "https://example.com/path?query"));
        assert!(!allows(&entries, "http://example.com"));
    }

    #[test]
    fn entry_for_redis_allows_every_scheme_of_its_protocol_and_the_others_their_own() {
        let schemes = ["redis", "rediss", "valkey", "valkeys"];
        for entry in schemes {
            for scheme in schemes {
                for (entry, url) in
                    [(format!("{entry}://h"), format!("{scheme}://h")), (format!("{entry}://h:1"), format!("{scheme}://h:1"))]
                {
                    assert_eq!(allows(&[&entry], &url), entry.starts_with("redis:") || entry == url, "{entry}, {url}");
                }
            }
        }
        assert!(!allows(&["rediss://h:6380"], "rediss://h") && !allows(&["redis://h"], "rediss://other"));
        assert!(!allows(&["http://h:1"], "https://h:1"));
    }

    #[test]
    fn an_entry_that_resolved_to_nothing_is_skipped() {
        assert!(!allows(&["", "http://", "https://"], "http://example.com"));
        assert!(AllowedHosts::parse(["redis://"]).is_err());
        assert!(AllowedHosts::parse([" "]).is_err());
    }

    #[test]
    fn one_bad_entry_spoils_all() {
        let error = AllowedHosts::parse(["http://ok", "example.com"]).unwrap_err();
        assert!(error.to_string().starts_with("\"example.com\" is not an allowed outbound host: "));
    }

    #[test]
    fn raw_sockets_are_checked_by_address_and_port() {
        let hosts = AllowedHosts::parse(["*://10.0.0.0/8:5000", "tcp://[::1]:*", "*://localhost:*"]).unwrap();
        assert!(hosts.allows_addr("tcp", [10, 1, 2, 3].into(), 5000));
        assert!(!hosts.allows_addr("tcp", [10, 1, 2, 3].into(), 5001));
        assert!(hosts.allows_addr("tcp", "::1".parse().unwrap(), 1));
        assert!(!hosts.allows_addr("udp", "::1".parse().unwrap(), 1));
        assert!(!hosts.allows_addr("tcp", [127, 0, 0, 1].into(), 80));
    }

    #[test]
    fn an_address_is_named_by_itself_or_by_a_network_within_the_range() {
        let range = Cidr::parse("169.254.0.0/16").unwrap();
        let names = |entry: &str| {
            let hosts = AllowedHosts::parse([entry]).unwrap();
            hosts.names_addr("http", [169, 254, 169, 254].into(), 80, &range)
        };
        for entry in ["http://169.254.169.254", "*://169.254.169.254:80", "http://169.254.169.0/24"] {
            assert!(names(entry), "{entry}");
        }
        for entry in ["*://*:*", "http://0.0.0.0/0", "http://169.254.1.1", "http://169.254.169.254:81", "http://metadata"] {
            assert!(!names(entry), "{entry}");
        }
        let hosts = AllowedHosts::parse(["rediss://169.254.1.1"]).unwrap();
        assert!(hosts.names_addr("rediss", [169, 254, 1, 1].into(), 6379, &range));
        assert!(!hosts.names_addr("redis", [169, 254, 1, 1].into(), 6379, &range));
    }

    #[test]
    fn self_is_allowed_by_name_or_by_a_wildcard_alone() {
        for entry in ["http://self", "http://self.alt", "http://*:*", "*://*:*"] {
            assert!(AllowedHosts::parse([entry]).unwrap().allows_self("http"), "{entry}");
        }
        for entry in ["https://self", "http://localhost"] {
            assert!(!AllowedHosts::parse([entry]).unwrap().allows_self("http"), "{entry}");
        }
        assert!(!allows(&["http://self"], "http://self"));
    }

    #[test]
    fn chaining_names_a_component_of_the_app() {
        assert_eq!(chained_component("kitchen.spin.internal"), Some("kitchen"));
        assert_eq!(chained_component("spin.internal"), None);
        assert_eq!(chained_component(".spin.internal"), None);
        assert_eq!(chained_component("a.b.spin.internal"), None);
        assert_eq!(chained_component("kitchen.spin.internal.evil.com"), None);
    }

    #[test]
    fn chaining_is_allowed_by_name_or_wildcard() {
        assert!(allows(&["http://kitchen.spin.internal"], "http://kitchen.spin.internal/cook"));
        assert!(allows(&["http://*.spin.internal"], "http://kitchen.spin.internal/cook"));
        assert!(!allows(&["http://kitchen.spin.internal"], "http://bar.spin.internal"));
    }

    #[test]
    fn the_hint_shows_the_entry_to_add() {
        let url = OutboundUrl::parse("redis://user:secret@cache/0", "redis").unwrap();
        let hint = denied_hint("shop", &url);
        assert!(hint.contains("add 'allowed_outbound_hosts = [\"redis://cache:6379\"]'"), "{hint}");
        assert!(!hint.contains("secret"));
        let hint = denied_hint("shop", &OutboundUrl::parse("rediss://cache", "redis").unwrap());
        assert!(hint.contains("add 'allowed_outbound_hosts = [\"rediss://cache:6379\"]'"), "{hint}");
    }
}
