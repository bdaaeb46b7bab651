//! The address a component asks for.

use std::fmt;

use super::{default_port, host, without_user};
use crate::Error;

/// An address a component wants to reach. Whoever connects should connect to these parts, not read the URL again in its own way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OutboundUrl {
    /// In lower case.
    pub scheme: String,
    /// In lower case; an IPv6 address without its brackets.
    pub host: String,
    /// As given; the scheme's own where it was not.
    pub port: Option<u16>,
}

impl OutboundUrl {
    /// Reads the scheme, host and port of a URL; `default_scheme` is used where it has none. User name, password, path and query are read over.
    ///
    /// Strict where programs read URLs differently: what one of them could take for another host is refused.
    pub fn parse(url: &str, default_scheme: &str) -> Result<Self, Error> {
        parse(url, default_scheme).map_err(|reason| Error::Address { url: without_user(url), reason })
    }
}

impl fmt::Display for OutboundUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, .. } = self;
        if host.contains(':') { write!(f, "{scheme}://[{host}]") } else { write!(f, "{scheme}://{host}") }?;
        self.port.iter().try_for_each(|port| write!(f, ":{port}"))
    }
}

fn parse(url: &str, default_scheme: &str) -> Result<OutboundUrl, &'static str> {
    let end = url.find(['/', '?', '#']).unwrap_or(url.len());
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) if scheme.len() < end => (scheme, rest),
        _ => (default_scheme, url),
    };
    if scheme.is_empty() || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
        return Err("its scheme is malformed");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains(|c: char| c == '\\' || c.is_whitespace() || c.is_control()) {
        return Err("it has a blank or a backslash before its path");
    }
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let (name, port) = match place.strip_prefix('[') {
        Some(inner) => inner.split_once(']').ok_or("a `[` is not closed")?,
        None => place.split_at(place.find(':').unwrap_or(place.len())),
    };
    let scheme = scheme.to_ascii_lowercase();
    let port = match port.strip_prefix(':') {
        None if !port.is_empty() => return Err("something stands between its host and its port"),
        None | Some("") => default_port(&scheme),
        Some(digits) => Some(host::number(digits).ok_or("its port is not a number up to 65535")?),
    };
    let host = if place.starts_with('[') { host::ipv6(name) } else { host::name(name) };
    Ok(OutboundUrl { scheme, host: host?, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> Result<String, String> {
        OutboundUrl::parse(url, "redis").map(|url| url.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn scheme_host_and_port_are_read() {
        assert_eq!(shown("http://example.com:8080/a?b#c").unwrap(), "http://example.com:8080");
        assert_eq!(shown("HTTPS://Example.COM").unwrap(), "https://example.com:443");
        assert_eq!(shown("tcp://h").unwrap(), "tcp://h");
    }

    #[test]
    fn a_missing_scheme_is_the_default_one() {
        assert_eq!(shown("localhost:6379").unwrap(), "redis://localhost:6379");
        assert_eq!(shown("cache").unwrap(), "redis://cache:6379");
        assert_eq!(shown("cache/path?x=http://other").unwrap(), "redis://cache:6379");
    }

    #[test]
    fn ipv6_stands_in_brackets() {
        let url = OutboundUrl::parse("http://[::1]:81/", "http").unwrap();
        assert_eq!((url.host.as_str(), url.port), ("::1", Some(81)));
        assert_eq!(url.to_string(), "http://[::1]:81");
        assert!(shown("http://::1").is_err());
        assert!(shown("http://[::1").unwrap_err().contains("not closed"));
        assert!(shown("http://[::1]x").unwrap_err().contains("between"));
        assert!(shown("http://[127.0.0.1]").is_err());
    }

    #[test]
    fn user_and_password_are_read_over_and_never_shown() {
        assert_eq!(shown("redis://user:p@ss@cache:1").unwrap(), "redis://cache:1");
        let error = shown("redis://user:secret@cache:x").unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn what_programs_read_differently_is_refused() {
        for url in [
            "http://evil\\@good",
            "http://good\\.evil",
            "http://a b",
            "http://a\tb",
            "http://a%2eb",
            "http://good,evil",
            "redis://x:1#@good",
        ] {
            assert_ne!(shown(url), Ok("http://good:80".to_owned()));
            assert_ne!(shown(url), Ok("redis://good:6379".to_owned()));
        }
        assert!(shown("http://evil\\@good").is_err());
        assert!(shown("http://a%2eb").is_err());
    }

    #[test]
    fn ports_and_hosts_are_checked() {
        for url in ["http://", "", "http://:80", "http://a:65536", "http://a:-1", "http://a:+1", "1 2://a", "://a"] {
            assert!(shown(url).is_err(), "{url}");
        }
    }
}
