//! The listening socket, by default for IPv6 and IPv4.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::error::Error;

/// The length of the kernel's queue of accepted connections. The kernel limits it to net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// Where a server listens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Listen {
    /// This port on every address of the machine, IPv4 and IPv6; IPv4 alone where the kernel has no IPv6.
    Everywhere(u16),
    /// This address alone; port 0 lets the kernel choose.
    At(SocketAddr),
}

/// Binds and listens, and returns the address with the port that was bound. Clients may connect from here on.
/// The kernel takes at most `unsent` bytes of a response before it has sent those before. Without this limit
/// it takes megabytes for a client that does not read, and cgroup v2 counts them as the container's memory.
pub(crate) fn bind(listen: Listen, unsent: u32) -> Result<(TcpListener, SocketAddr), Error> {
    let (socket, address) = bind_with(listen, |address, both| open(address, both, unsent))?;
    let listener = TcpListener::from_std(socket.into());
    let bound = listener.and_then(|listener| listener.local_addr().map(|address| (listener, address)));
    bound.map_err(|source| Error::listen(address, source))
}

/// A socket bound by `open`. Its second argument is whether an IPv6 socket also takes IPv4 clients.
fn bind_with<T>(listen: Listen, open: impl Fn(SocketAddr, bool) -> io::Result<T>) -> Result<(T, SocketAddr), Error> {
    let (address, both) = match listen {
        Listen::At(address) => (address, false),
        Listen::Everywhere(port) => (SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), true),
    };
    match open(address, both) {
        Ok(socket) => Ok((socket, address)),
        Err(error) if both && is_without_ipv6(&error) => {
            bind_with(Listen::At(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()))), open)
        }
        Err(source) => Err(Error::listen(address, source)),
    }
}

/// Whether the kernel runs with `ipv6.disable=1` or was built without IPv6. Where a sysctl disables IPv6, the
/// bind succeeds.
fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

fn open(address: SocketAddr, both: bool, unsent: u32) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    if both {
        socket.set_only_v6(false)?;
    }
    // Connections of an earlier server may still be in TIME_WAIT.
    socket.set_reuse_address(true)?;
    // Accepted connections inherit these two. Responses are written whole, so that Nagle's algorithm would
    // only delay them.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(unsent)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// An IPv4 client's own address, which a socket of both families reports as an IPv6 address.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// An address under which the server can be reached from its own host.
pub(crate) fn reachable(listening: SocketAddr) -> SocketAddr {
    let ip = if listening.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { listening.ip() };
    SocketAddr::new(ip, listening.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOT_SUPPORTED: i32 = Errno::AFNOSUPPORT.raw_os_error();

    #[test]
    fn a_kernel_without_ipv6_gives_every_ipv4_address() {
        let open = |address: SocketAddr, both| match address.is_ipv6() {
            true => Err(io::Error::from_raw_os_error(NOT_SUPPORTED)),
            false => Ok(both),
        };
        let bound = bind_with(Listen::Everywhere(80), open).expect("bound");
        assert_eq!(bound, (false, "0.0.0.0:80".parse().expect("an address")));
        let error =
            bind_with(Listen::At("[::1]:80".parse().expect("an address")), open).expect_err("as asked for, or not at all");
        assert_eq!(error.exit_code(), 67);
    }

    #[test]
    fn any_other_failure_is_reported_for_the_address_that_was_asked_for() {
        let open = |_, _| Err::<(), _>(io::ErrorKind::AddrInUse.into());
        let error = bind_with(Listen::Everywhere(80), open).expect_err("taken");
        assert_eq!(error.to_string(), "cannot listen on [::]:80: the port is already in use");
    }

    #[test]
    fn an_ipv4_client_of_a_socket_for_both_families_is_shown_as_one() {
        let shown = |text: &str| canonical(text.parse().expect("an address")).to_string();
        assert_eq!(shown("[::ffff:10.1.2.3]:40000"), "10.1.2.3:40000");
        assert_eq!(shown("[fd00::1]:40000"), "[fd00::1]:40000");
    }
}
