//! Why a request failed, in the guest's words.

use std::error::Error as _;
use std::io;

use hyper_util::client::legacy;
use wasmtime_wasi_http::Error;

use crate::network::ConnectError;

/// What the client's error means to the guest.
pub(super) fn explain(error: &legacy::Error) -> Error {
    let mut causes = std::iter::successors(error.source(), |&error| error.source());
    let cause = causes.find_map(|cause| {
        let of_connecting = || cause.downcast_ref::<ConnectError>().and_then(of_connecting);
        let of_system = || cause.downcast_ref::<io::Error>().and_then(of_system);
        of_connecting().or_else(of_system).or_else(|| cause.downcast_ref::<hyper::Error>().map(of_http))
    });
    match cause {
        Some(error) => error,
        None if error.is_connect() => Error::DestinationUnavailable,
        None => Error::HttpProtocolError,
    }
}

fn of_connecting(error: &ConnectError) -> Option<Error> {
    match error {
        ConnectError::Blocked(_) => Some(Error::DestinationIpProhibited),
        ConnectError::Resolve { .. } => {
            Some(Error::DnsError { rcode: Some("the name can't be resolved".to_owned()), info_code: None })
        }
        ConnectError::Io(error) => of_system(error),
    }
}

fn of_system(error: &io::Error) -> Option<Error> {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return Some(match tls {
            rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => Error::TlsCertificateError,
            _ => Error::TlsProtocolError,
        });
    }
    Some(match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            Error::ConnectionTerminated
        }
        io::ErrorKind::UnexpectedEof => Error::HttpResponseIncomplete,
        io::ErrorKind::TimedOut => Error::ConnectionTimeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable => {
            Error::DestinationUnavailable
        }
        _ => return None,
    })
}

fn of_http(error: &hyper::Error) -> Error {
    // The body is the guest's own: its error comes back to it as it was.
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>()).and_then(of_system);
    match cause {
        Some(error) => error,
        None if error.is_incomplete_message() => Error::HttpResponseIncomplete,
        None if error.is_timeout() => Error::HttpResponseTimeout,
        None if error.is_closed() || error.is_canceled() => Error::ConnectionTerminated,
        None => Error::HttpProtocolError,
    }
}
