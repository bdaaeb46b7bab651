//! What a guest is told about its request beside the request itself.

use http::header::{CONNECTION, HOST};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

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

/// Why a request cannot be shown to a guest.
#[derive(Debug, PartialEq)]
pub(crate) enum Malformed {
    /// Neither the address nor a `Host` header says whom the request is for.
    NoHost,
    /// The `Host` header is no authority, or there are several.
    Host,
    /// The address and the `Host` header name different hosts.
    HostMismatch,
    /// The path has bytes that no header can carry.
    Path,
}

/// Gives the request an absolute address: whom it is for comes from the request line or from `Host`, which must agree.
pub(crate) fn absolute_uri(uri: &Uri, headers: &HeaderMap) -> Result<Uri, Malformed> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().map(|host| Authority::try_from(host.as_bytes()).map_err(|_| Malformed::Host)).transpose()?;
    if hosts.next().is_some() {
        return Err(Malformed::Host);
    }
    let authority = match (uri.authority(), host) {
        (Some(line), Some(host)) if *line != host => return Err(Malformed::HostMismatch),
        (Some(line), _) => line.clone(),
        (None, Some(host)) => host,
        (None, None) => return Err(Malformed::NoHost),
    };
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority);
    parts.path_and_query = Some(uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
    Uri::from_parts(parts).map_err(|_| Malformed::Path)
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

    fn absolute(uri: &str, hosts: &[&'static str]) -> Result<String, Malformed> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_static(host));
        }
        absolute_uri(&uri.parse().expect("an address"), &headers).map(|uri| uri.to_string())
    }

    #[test]
    fn the_host_comes_from_the_header_or_the_request_line() {
        assert_eq!(absolute("/a?b", &["h:81"]), Ok("http://h:81/a?b".to_owned()));
        assert_eq!(absolute("http://h/a", &["h"]), Ok("http://h/a".to_owned()));
        assert_eq!(absolute("http://h/a", &[]), Ok("http://h/a".to_owned()));
    }

    #[test]
    fn a_host_that_is_missing_doubled_or_contradicted_is_refused() {
        assert_eq!(absolute("/a", &[]), Err(Malformed::NoHost));
        assert_eq!(absolute("/a", &["h", "i"]), Err(Malformed::Host));
        assert_eq!(absolute("/a", &["h h"]), Err(Malformed::Host));
        assert_eq!(absolute("http://h/a", &["i"]), Err(Malformed::HostMismatch));
    }
}
