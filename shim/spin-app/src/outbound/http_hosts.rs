//! The deprecated `allowed_http_hosts`, as entries of `allowed_outbound_hosts`.

use super::{OutboundUrl, default_port};
use crate::Error;

/// The entries that mean the same. A host without a scheme was allowed over both.
pub(crate) fn from_http_hosts(hosts: &[impl AsRef<str>]) -> Result<Vec<String>, Error> {
    if hosts.iter().any(|host| host.as_ref() == "insecure:allow-all") {
        return Ok(["http://*:*", "https://*:*", "http://self"].map(str::to_owned).to_vec());
    }
    let mut entries = Vec::new();
    for host in hosts {
        let host = host.as_ref();
        if host == "self" {
            entries.push("http://self".to_owned());
        } else {
            let place = place(host).map_err(|reason| Error::AllowedHost { entry: host.to_owned(), reason })?;
            entries.extend(["http", "https"].map(|scheme| format!("{scheme}://{place}")));
        }
    }
    Ok(entries)
}

/// The host and the port in what may be a URL.
fn place(text: &str) -> Result<String, String> {
    let url = OutboundUrl::parse(text, "http").map_err(|error| error.to_string())?;
    let place = text.split_once("://").map_or(text, |(_, place)| place);
    let place = place.strip_suffix('/').unwrap_or(place);
    match &*url.scheme {
        "http" | "https" if place.contains(['/', '?', '#']) => {
            Err("it has a path, but only whole hosts can be allowed".to_owned())
        }
        "http" | "https" if place.contains('@') => Err("it has a user name, but only hosts can be allowed".to_owned()),
        "http" | "https" => Ok(without_default_port(&url, place)),
        scheme => Err(format!("its scheme `{scheme}` is not one of HTTP")),
    }
}

/// A port that is the scheme's own was as good as none: the other scheme had its own, too.
fn without_default_port(url: &OutboundUrl, place: &str) -> String {
    let is_default = url.port == default_port(&url.scheme);
    let bare = place.rsplit_once(':').filter(|(_, port)| is_default && !port.contains(']')).map_or(place, |(host, _)| host);
    bare.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(hosts: &[&str]) -> Result<Vec<String>, String> {
        let entries = from_http_hosts(hosts).map_err(|error| error.to_string())?;
        entries
            .iter()
            .try_for_each(|entry| super::super::AllowedHost::parse(entry).map(|_| ()))
            .map_err(|error| error.to_string())?;
        Ok(entries)
    }

    #[test]
    fn a_host_was_allowed_over_both_schemes() {
        assert_eq!(converted(&["example.com"]).unwrap(), ["http://example.com", "https://example.com"]);
        assert_eq!(converted(&["https://example.com/"]).unwrap(), ["http://example.com", "https://example.com"]);
        assert_eq!(converted(&["example.com:8080"]).unwrap(), ["http://example.com:8080", "https://example.com:8080"]);
        assert_eq!(converted(&["http://example.com:80"]).unwrap(), ["http://example.com", "https://example.com"]);
        assert_eq!(converted(&["[::1]", "[::1]:81"]).unwrap().len(), 4);
    }

    #[test]
    fn self_and_everything_have_their_own_words() {
        assert_eq!(converted(&["self"]).unwrap(), ["http://self"]);
        assert_eq!(converted(&["a", "insecure:allow-all"]).unwrap(), ["http://*:*", "https://*:*", "http://self"]);
        assert!(converted(&[]).unwrap().is_empty());
    }

    #[test]
    fn paths_and_other_schemes_are_refused() {
        for host in ["http://a/b", "ftp://a", "a/b/c", "", "http://u@a"] {
            assert!(converted(&[host]).is_err(), "{host}");
        }
    }
}
