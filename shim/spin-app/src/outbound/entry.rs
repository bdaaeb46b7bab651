//! One entry of `allowed_outbound_hosts`: `<scheme>://<host>[:<port>]`.

use std::{fmt, net::IpAddr};

use super::{
    OutboundUrl, default_port,
    host::{Cidr, HostPattern},
    port::PortPattern,
    scheme_allows, without_user,
};
use crate::Error;

/// One entry of `allowed_outbound_hosts`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AllowedHost {
    original: String,
    /// None is any.
    scheme: Option<String>,
    host: HostPattern,
    port: PortPattern,
}

impl AllowedHost {
    /// Reads an entry whose variables are already resolved. A user name and a password, which the address in a variable
    /// may have, don't count and are not kept.
    pub fn parse(entry: &str) -> Result<Self, Error> {
        let entry = entry.trim();
        parse(entry).map_err(|reason| Error::AllowedHost { entry: without_user(entry), reason })
    }

    /// Whether it allows the address.
    pub fn allows(&self, url: &OutboundUrl) -> bool {
        let port = url.port.or_else(|| default_port(&url.scheme));
        self.allows_scheme(&url.scheme) && self.host.allows(&url.host) && self.port.allows(port)
    }

    /// Whether it allows a connection to an address without a name.
    pub fn allows_addr(&self, scheme: &str, ip: IpAddr, port: u16) -> bool {
        self.allows_scheme(scheme) && self.host.allows_addr(ip) && self.port.allows(Some(port))
    }

    /// Whether it allows the address by naming it, or a network within `range`.
    pub(super) fn names_addr(&self, scheme: &str, ip: IpAddr, port: u16, range: &Cidr) -> bool {
        self.host.is_within(range) && self.allows_addr(scheme, ip, port)
    }

    /// Whether it lets the app send requests to itself.
    pub fn allows_self(&self, scheme: &str) -> bool {
        self.allows_scheme(scheme) && matches!(self.host, HostPattern::Any | HostPattern::ToSelf)
    }

    /// Whether it is about other components of the app (`*.spin.internal`).
    pub fn is_chaining(&self) -> bool {
        self.host.is_chaining()
    }

    /// The one component of the app it is about.
    pub fn chained_component(&self) -> Option<&str> {
        match &self.host {
            HostPattern::Name(name) => super::chained_component(name),
            _ => None,
        }
    }

    fn allows_scheme(&self, scheme: &str) -> bool {
        self.scheme.as_deref().is_none_or(|allowed| scheme_allows(allowed, scheme))
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.original)
    }
}

fn parse(entry: &str) -> Result<AllowedHost, String> {
    let (scheme, rest) = entry.split_once("://").ok_or_else(|| without_scheme(&without_user(entry)))?;
    let scheme = match scheme {
        "*" => None,
        list if list.starts_with('{') => {
            return Err("lists of schemes in braces are not supported: write an entry for each".to_owned());
        }
        word if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphabetic()) => Some(word.to_ascii_lowercase()),
        word => return Err(format!("its scheme `{word}` must be letters alone, or `*`")),
    };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let place = rest[..authority].rfind('@').map_or(rest, |at| &rest[at + 1..]);
    let (host, port) = host_and_port(place)?;
    let port = PortPattern::parse(port, scheme.as_deref().unwrap_or("*"))?;
    let original = format!("{}://{place}", scheme.as_deref().unwrap_or("*"));
    Ok(AllowedHost { original, scheme, host, port })
}

fn without_scheme(entry: &str) -> String {
    match entry {
        "insecure:allow-all" | "*" | ":" | "?" | "" => {
            "it must have the form `<scheme>://<host>[:<port>]`; `*://*:*` allows everything".to_owned()
        }
        host => format!("it has no scheme: write for instance `https://{host}` or `*://{host}:<port>`"),
    }
}

fn host_and_port(rest: &str) -> Result<(HostPattern, &str), String> {
    if let Some(inner) = rest.strip_prefix('[') {
        return bracketed(inner);
    }
    if let Some(network) = Cidr::parse(rest) {
        // Not to be split at the last colon of its address.
        return Ok((HostPattern::Network(network), ""));
    }
    let (host, port) = rest.rsplit_once(':').unwrap_or((rest, ""));
    let port = without_path(port)?;
    Ok((HostPattern::parse(host)?, port))
}

/// `[::1]:80`, `[fe80::]/10:80`, `[fe80::/10]:80`, behind the first bracket.
fn bracketed(inner: &str) -> Result<(HostPattern, &str), String> {
    let (address, behind) = inner.split_once(']').ok_or("a `[` is not closed")?;
    let (length, port) = behind.split_once(':').unwrap_or((behind, ""));
    let host = match (Cidr::parse(&format!("{address}{length}")), length, port) {
        (Some(network), ..) => HostPattern::Network(network),
        (None, "", _) | (None, "/", "") => HostPattern::parse_ipv6(address)?,
        (None, ..) => return Err("only a port may follow its `]`, no path or anything else".to_owned()),
    };
    Ok((host, without_path(port)?))
}

fn without_path(text: &str) -> Result<&str, String> {
    match text.split_once('/') {
        Some((_, path)) if !path.is_empty() => Err("it has a path, but only whole hosts can be allowed".to_owned()),
        Some((before, _)) => Ok(before),
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(entry: &str, url: &str) -> bool {
        AllowedHost::parse(entry).unwrap().allows(&OutboundUrl::parse(url, "http").unwrap())
    }

    fn refused(entry: &str) -> String {
        AllowedHost::parse(entry).unwrap_err().to_string()
    }

    #[test]
    fn the_port_is_the_schemes_own_where_it_has_one() {
        for (scheme, port) in [("http", 80), ("https", 443), ("redis", 6379), ("mysql", 3306), ("postgres", 5432), ("mqtt", 1883)]
        {
            assert!(allows(&format!("{scheme}://h"), &format!("{scheme}://h:{port}")));
            assert!(!allows(&format!("{scheme}://h"), &format!("{scheme}://h:1")));
        }
        assert!(refused("*://h").contains("it has no port, and the scheme `*` has no usual one"));
        assert!(refused("ftp://h").contains("the scheme `ftp`"));
    }

    #[test]
    fn ports_are_numbers_ranges_or_any() {
        assert!(allows("http://h:*", "http://h:1"));
        assert!(allows("http://h:10..12", "http://h:11"));
        assert!(!allows("http://h:10..12", "http://h:12"));
        assert!(allows("http://h:1..65536", "http://h:65535"));
        assert!(allows("http://h:8080/", "http://h:8080"));
        for entry in ["http://h:x", "http://h:65536", "http://h:2..1", "http://h:..5", "http://h:+1", "http://h:{80,81}"] {
            refused(entry);
        }
    }

    #[test]
    fn schemes_are_letters_or_any() {
        assert!(allows("*://h:1", "redis://h:1"));
        assert!(allows("HTTP://H", "http://h"));
        for entry in ["h2c://h:1", "{http,https}://h", "://h", "ht tp://h:1"] {
            assert!(refused(entry).contains("scheme"), "{entry}");
        }
    }

    #[test]
    fn hosts_are_names_addresses_domains_or_any() {
        assert!(allows("http://*", "http://anything"));
        assert!(allows("http://*.example.com", "http://a.example.com"));
        assert!(allows("http://127.0.0.1", "http://127.0.0.1"));
        assert!(allows("http://[::1]", "http://[0::1]"));
        assert!(allows("http://10.0.0.0/8", "http://10.1.1.1"));
        assert!(allows("http://10.0.0.0/8:81", "http://10.1.1.1:81"));
        assert!(!allows("http://example.com", "http://example.com.evil.org"));
    }

    #[test]
    fn networks_of_ipv6_may_stand_with_and_without_brackets() {
        for entry in [
            "http://fe80::/10",
            "http://[fe80::]/10",
            "http://[fe80::/10]",
            "http://[fe80::/10]:80",
            "http://fe80::/10:80",
            "http://[fe80::]/10:80",
        ] {
            assert!(allows(entry, "http://[fe80::1]"), "{entry}");
            assert!(!allows(entry, "http://[::1]"), "{entry}");
        }
    }

    #[test]
    fn user_and_password_do_not_count_and_are_never_shown() {
        for entry in ["redis://user:secret@cache:1", "redis://:secret@cache:1", "redis://:sec@ret@cache:1"] {
            assert!(allows(entry, "redis://cache:1") && allows(entry, "redis://other:secrets@cache:1"), "{entry}");
            assert!(!allows(entry, "redis://user:1"), "{entry}");
            assert_eq!(AllowedHost::parse(entry).unwrap().to_string(), "redis://cache:1");
        }
        assert!(allows("http://user@[::1]:81", "http://[::1]:81"));
        for entry in [
            "redis://:secret@cache:x",
            "redis://:secret@a b",
            "redis://:secret@cache/path",
            "r1://:secret@cache",
            "me:secret@cache:1",
        ] {
            assert!(!refused(entry).contains("secret"), "{}", refused(entry));
        }
    }

    #[test]
    fn paths_and_odd_wildcards_are_refused() {
        for entry in ["http://h/path", "http://h:80/path", "http://[::1]/path", "http://10.0.0.0/8/9"] {
            assert!(refused(entry).contains("path"), "{entry}");
        }
        for entry in [
            "http://a.*.com",
            "http://*a.com",
            "http://*.*.com",
            "http://user@",
            "http://h/@other",
            "http://h?@other",
            "http://{a,b}",
            "http://h?x",
            "http://[::1",
            "http://[x]",
            "http://[::1]x",
        ] {
            refused(entry);
        }
    }

    #[test]
    fn what_people_write_first_is_answered_with_the_right_form() {
        for entry in ["*", "", ":", "?", "insecure:allow-all"] {
            assert!(refused(entry).contains("`*://*:*` allows everything"), "{entry}");
        }
        assert!(refused("example.com").contains("`https://example.com`"));
    }

    #[test]
    fn a_trailing_slash_and_blanks_around_do_no_harm() {
        assert!(allows(" http://example.com/ ", "http://example.com"));
        assert!(allows("http://*.example.com/", "http://a.example.com"));
        assert!(allows("http://[::1]/", "http://[::1]"));
    }
}
