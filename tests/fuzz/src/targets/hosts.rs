//! `allowed_outbound_hosts`, and the addresses that components ask for.

use http::Uri;
use spin_app::outbound::{AllowedHost, AllowedHosts, OutboundUrl};

use super::refused;

/// The last line is the address, the others are entries. An address that is accepted is the same once it was written and read, is what the HTTP client
/// reads, and is allowed by the entry that names it; several entries allow what one of them allows.
pub(super) fn check(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let (entries, address) = text.rsplit_once('\n').unwrap_or(("", text));
    let allowed = AllowedHosts::parse(entries.lines());
    let url = match OutboundUrl::parse(address, "http") {
        Ok(url) => url,
        Err(error) => return refused(&error),
    };
    check_address(&url, address);
    let Ok(allowed) = allowed else { return false };
    let allows = |entry: &str| AllowedHosts::parse([entry]).is_ok_and(|entry| entry.allows(&url));
    assert_eq!(allowed.allows(&url), entries.lines().any(allows), "entries together allow what none of them allows");
    if url.host.parse::<std::net::IpAddr>().is_err() {
        check_names(entries, &url);
    }
    true
}

fn check_address(url: &OutboundUrl, address: &str) {
    let written = url.to_string();
    assert_eq!(OutboundUrl::parse(&written, "http").expect("what was written is an address"), *url);
    if let Ok(uri) = address.parse::<Uri>()
        && let (Some(_), Some(host)) = (uri.scheme(), uri.host())
    {
        assert!(host.trim_matches(['[', ']']).eq_ignore_ascii_case(&url.host) || is_same_ipv6(host, &url.host), "another host");
        assert!(uri.port_u16().is_none_or(|port| Some(port) == url.port), "another port");
    }
    if url.port.is_some() && url.scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        let entry = AllowedHost::parse(&written).expect("an address can be allowed");
        assert!(entry.allows(url) || matches!(&*url.host, "self" | "self.alt"), "an entry does not allow what it names");
    }
}

fn is_same_ipv6(one: &str, other: &str) -> bool {
    let address = |text: &str| text.trim_matches(['[', ']']).parse::<std::net::Ipv6Addr>().ok();
    address(one).is_some() && address(one) == address(other)
}

/// A name is allowed by an entry that has it, or the end of it, or `*`.
fn check_names(entries: &str, url: &OutboundUrl) {
    for entry in entries.lines().filter(|entry| AllowedHost::parse(entry).is_ok_and(|entry| entry.allows(url))) {
        let lower = entry.to_ascii_lowercase();
        let names_it = lower.contains(&url.host) || lower.contains("//*");
        assert!(names_it, "{entry:?} allows {url}");
    }
}
