//! Servers that speak HTTP/2 in clear text.

use std::str::FromStr;

use ::http::Uri;
use ::http::uri::Scheme;
use spin_app::outbound::OutboundUrl;

/// Servers to which plain `http` requests are sent by HTTP/2 with prior knowledge (RFC 9113, 3.3), as gRPC
/// without TLS needs it. The text is a list of `HOST[:PORT]`, separated by commas.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct H2cServers(Vec<OutboundUrl>);

/// An entry of the list that is not a server.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not HOST[:PORT]")]
pub struct H2cServerError(String);

impl FromStr for H2cServers {
    type Err = H2cServerError;

    fn from_str(list: &str) -> Result<Self, H2cServerError> {
        list.split(',').map(|entry| parse(entry.trim())).collect::<Result<_, _>>().map(Self)
    }
}

fn parse(entry: &str) -> Result<OutboundUrl, H2cServerError> {
    let url = OutboundUrl::parse(&format!("http://{entry}"), "http");
    match url {
        Ok(url) if !entry.contains(['/', '?', '#', '@']) => Ok(url),
        _ => Err(H2cServerError(entry.to_owned())),
    }
}

impl H2cServers {
    pub(super) fn contains(&self, uri: &Uri) -> bool {
        if self.0.is_empty() || uri.scheme() != Some(&Scheme::HTTP) {
            return false;
        }
        let url = uri.authority().and_then(|authority| OutboundUrl::parse(&format!("http://{authority}"), "http").ok());
        url.is_some_and(|url| self.0.contains(&url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_compared_by_host_and_port() {
        let servers: H2cServers = "grpc:8080, Plain ,[::1]:50051".parse().unwrap();
        for uri in ["http://grpc:8080/a", "http://GRPC:8080", "http://plain/", "http://plain:80/", "http://[::1]:50051/x"] {
            assert!(servers.contains(&uri.parse().unwrap()), "{uri}");
        }
        for uri in ["http://grpc/", "https://grpc:8080/", "http://plain:8080/", "http://[::1]/", "/path"] {
            assert!(!servers.contains(&uri.parse().unwrap()), "{uri}");
        }
    }

    #[test]
    fn what_is_no_server_is_named() {
        for entry in ["", "http://grpc:8080", "grpc:8080/path", "user@grpc", "grpc:x", "a b"] {
            let error = format!("ok:1,{entry}").parse::<H2cServers>().unwrap_err();
            assert_eq!(error.to_string(), format!("{entry:?} is not HOST[:PORT]"));
        }
    }
}
