//! What a guest is told about its request beside the request itself.

use http::header::{CONNECTION, HOST};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, Version};

use crate::router::Match;

const PATH_INFO: HeaderName = HeaderName::from_static("spin-path-info");
const FULL_URL: HeaderName = HeaderName::from_static("spin-full-url");
const MATCHED_ROUTE: HeaderName = HeaderName::from_static("spin-matched-route");
const BASE_PATH: HeaderName = HeaderName::from_static("spin-base-path");
const RAW_ROUTE: HeaderName = HeaderName::from_static("spin-raw-component-route");
const ROUTE: HeaderName = HeaderName::from_static("spin-component-route");
const CLIENT_ADDR: HeaderName = HeaderName::from_static("spin-client-addr");

/// How many those are.
const SET: usize = 7;

/// Each `:name` of a route becomes a header with this prefix.
const PATH_MATCH: &str = "spin-path-match-";

/// Why a request cannot be shown to a guest. The sentence is the body of the answer 400.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Malformed {
    /// An HTTP/1.1 request names its host neither in the request line nor in a header.
    #[error("no Host header")]
    NoHost,
    /// There are several `Host` headers.
    #[error("more than one Host header")]
    Hosts,
    /// The host is no `name:port` or `address:port`.
    #[error("the host is malformed: it must be a name or an address, and a port of at most 65535 where there is one")]
    Host,
    /// The host has a user name before it, which HTTP forbids.
    #[error("the host is malformed: it must have no user name or password")]
    UserInfo,
    /// The address and the `Host` header name different hosts.
    #[error("the request line and the Host header name different hosts")]
    HostMismatch,
    /// The path has bytes that no header can carry.
    #[error("the path is malformed")]
    Path,
}

/// Makes the address of a request absolute. The host comes from the request line or from `Host`, which must agree. `fallback` stands
/// for the host of a request that need not name any: one of HTTP/1.0, or one whose `Host` is empty (RFC 9112, 3.2).
pub(crate) fn absolute_uri(
    uri: &Uri,
    version: Version,
    headers: &HeaderMap,
    fallback: impl FnOnce() -> Option<Authority>,
) -> Result<Uri, Malformed> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Malformed::Hosts);
    }
    if let Some(line) = uri.authority() {
        check(line)?;
    }
    let authority = match (uri.authority(), host.map(HeaderValue::as_bytes)) {
        (Some(line), None | Some(b"")) => line.clone(),
        (Some(line), Some(host)) if *line == parse(host)? => line.clone(),
        (Some(_), Some(_)) => return Err(Malformed::HostMismatch),
        (None, Some(b"")) => fallback().ok_or(Malformed::NoHost)?,
        (None, Some(host)) => parse(host)?,
        (None, None) if version < Version::HTTP_11 => fallback().ok_or(Malformed::NoHost)?,
        (None, None) => return Err(Malformed::NoHost),
    };
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority);
    parts.path_and_query = Some(uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
    Uri::from_parts(parts).map_err(|_| Malformed::Path)
}

fn parse(host: &[u8]) -> Result<Authority, Malformed> {
    let authority = Authority::try_from(host).map_err(|_| Malformed::Host)?;
    check(&authority).map(|()| authority)
}

/// The parser of authorities takes user names and any digits for a port.
fn check(authority: &Authority) -> Result<(), Malformed> {
    if authority.as_str().contains('@') {
        return Err(Malformed::UserInfo);
    }
    let (host, port) = authority.as_str().split_at(authority.host().len());
    // An empty port is allowed after its colon: RFC 3986, 3.2.3.
    let port = if port.is_empty() { Some("") } else { port.strip_prefix(':') };
    let digits = port.filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    match digits {
        Some(digits) if !host.is_empty() && (digits.is_empty() || digits.parse::<u16>().is_ok()) => Ok(()),
        _ => Err(Malformed::Host),
    }
}

/// Replaces whatever the client sent under the names that are the host's to set, and drops what concerns only this hop.
/// `uri` is absolute.
pub(crate) fn set<T>(
    headers: &mut HeaderMap,
    uri: &Uri,
    found: &Match<'_, '_, T>,
    client: &HeaderValue,
) -> Result<(), Malformed> {
    headers.remove(CONNECTION);
    let forged: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with(PATH_MATCH)).cloned().collect();
    for name in forged {
        headers.remove(name);
    }
    headers.reserve(SET + found.captures.len());
    let path_info = HeaderValue::try_from(found.path_info(uri.path())).map_err(|_| Malformed::Path)?;
    headers.insert(PATH_INFO, path_info);
    headers.insert(FULL_URL, HeaderValue::try_from(written(uri)).map_err(|_| Malformed::Path)?);
    headers.insert(MATCHED_ROUTE, found.route.matched.clone());
    headers.insert(BASE_PATH, HeaderValue::from_static("/"));
    headers.insert(RAW_ROUTE, found.route.raw.clone());
    headers.insert(ROUTE, found.route.prefix.clone());
    headers.insert(CLIENT_ADDR, client.clone());
    for (name, value) in found.route.parameters.iter().zip(&found.captures) {
        headers.insert(name.clone(), HeaderValue::from_str(value).map_err(|_| Malformed::Path)?);
    }
    Ok(())
}

/// An absolute address in one piece, which formatting it would find piece by piece.
fn written(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or_default();
    let authority = uri.authority().map_or("", Authority::as_str);
    let path_and_query = uri.path_and_query().map_or("", PathAndQuery::as_str);
    [scheme, "://", authority, path_and_query].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::Router;

    fn shown(route: &str, uri: &str, sent: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut router = Router::new();
        router.add(route, ()).expect("a valid route");
        let uri: Uri = uri.parse().expect("a valid address");
        let found = router.find(uri.path()).expect("the route matches");
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(HeaderName::try_from(*name).expect("a name"), HeaderValue::from_str(value).expect("a value"));
        }
        set(&mut headers, &uri, &found, &HeaderValue::from_static("127.0.0.1:8777")).expect("well formed");
        let text = |value: &HeaderValue| value.to_str().expect("text").to_owned();
        let mut list: Vec<_> = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        list.sort();
        list
    }

    #[test]
    fn the_guest_sees_exactly_the_documented_headers() {
        let shown = shown("/base/:path_segment/:path_end/...", "http://example.com/base/path/end/rest?key=value", &[]);
        let expected = [
            ("spin-base-path", "/"),
            ("spin-client-addr", "127.0.0.1:8777"),
            ("spin-component-route", "/base/:path_segment/:path_end"),
            ("spin-full-url", "http://example.com/base/path/end/rest?key=value"),
            ("spin-matched-route", "/base/:path_segment/:path_end/..."),
            ("spin-path-info", "/rest"),
            ("spin-path-match-path-end", "end"),
            ("spin-path-match-path-segment", "path"),
            ("spin-raw-component-route", "/base/:path_segment/:path_end/..."),
        ];
        assert_eq!(shown, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_a_client_claims_under_those_names_is_dropped() {
        let forged = [("spin-path-match-admin", "yes"), ("spin-client-addr", "1.1.1.1:1"), ("spin-client-addr", "2.2.2.2:2")];
        let shown = shown("/...", "http://h/", &forged);
        assert!(!shown.iter().any(|(name, _)| name == "spin-path-match-admin"));
        let claimed: Vec<_> = shown.iter().filter(|(name, _)| name == "spin-client-addr").collect();
        assert_eq!(claimed, [&("spin-client-addr".to_owned(), "127.0.0.1:8777".to_owned())]);
    }

    #[test]
    fn connection_concerns_this_hop_only() {
        let shown = shown("/...", "http://h/", &[("connection", "keep-alive"), ("accept", "*/*")]);
        assert!(shown.iter().any(|(name, _)| name == "accept"));
        assert!(!shown.iter().any(|(name, _)| name == "connection"));
    }

    fn absolute(version: Version, uri: &str, hosts: &[&'static str]) -> Result<String, Malformed> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_static(host));
        }
        let fallback = || Some(Authority::from_static("10.0.0.1:80"));
        absolute_uri(&uri.parse().expect("an address"), version, &headers, fallback).map(|uri| uri.to_string())
    }

    #[test]
    fn the_host_comes_from_the_header_or_the_request_line() {
        let absolute = |uri, hosts| absolute(Version::HTTP_11, uri, hosts).expect("well formed");
        assert_eq!(absolute("/a?b", &["h:81"]), "http://h:81/a?b");
        assert_eq!(absolute("/", &["[::1]:80"]), "http://[::1]:80/");
        assert_eq!(absolute("http://h/a", &["h"]), "http://h/a");
        assert_eq!(absolute("http://h/a", &[]), "http://h/a");
    }

    #[test]
    fn the_servers_own_address_stands_for_a_host_that_need_not_be_named() {
        assert_eq!(absolute(Version::HTTP_10, "/a", &[]).as_deref(), Ok("http://10.0.0.1:80/a"));
        assert_eq!(absolute(Version::HTTP_11, "/a", &[""]).as_deref(), Ok("http://10.0.0.1:80/a"));
        assert_eq!(absolute(Version::HTTP_11, "http://h/a", &[""]).as_deref(), Ok("http://h/a"));
        assert_eq!(absolute(Version::HTTP_10, "/a", &["h"]).as_deref(), Ok("http://h/a"));
    }

    #[test]
    fn a_host_that_is_missing_doubled_contradicted_or_malformed_is_refused() {
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            let refused = |uri: &str, hosts: &[&'static str]| absolute(version, uri, hosts).expect_err("malformed");
            assert_eq!(refused("/a", &["h", "i"]), Malformed::Hosts);
            assert_eq!(refused("/a", &["h", "h"]), Malformed::Hosts);
            assert_eq!(refused("http://h/a", &["i"]), Malformed::HostMismatch);
            for malformed in ["h h", "a:99999", "a:+80", "a:b", ":80", "[::1]a:80"] {
                assert_eq!(refused("/a", &[malformed]), Malformed::Host, "{malformed}");
            }
            assert_eq!(refused("/a", &["u:p@a"]), Malformed::UserInfo);
            assert_eq!(refused("http://u@a/", &[]), Malformed::UserInfo);
            assert_eq!(refused("http://a:65536/", &[]), Malformed::Host);
        }
        assert_eq!(absolute(Version::HTTP_11, "/a", &[]), Err(Malformed::NoHost));
        assert_eq!(absolute(Version::HTTP_2, "/a", &[]), Err(Malformed::NoHost));
    }
}
