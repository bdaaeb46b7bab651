//! One conversation over `wasi:sockets`: send, close our half, read to the end.
use std::net::SocketAddrV4;

use wasip2::io::streams::StreamError;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::tcp::ShutdownType;
use wasip2::sockets::{instance_network::instance_network, tcp_create_socket::create_tcp_socket};

/// Sends `message` to `target` (`IPV4:PORT`) and answers what comes back until the peer closes.
pub fn talk(target: &str, message: &[u8]) -> Result<Vec<u8>, String> {
    let address: SocketAddrV4 = target.parse().map_err(|e| format!("{target}: {e}"))?;
    let (a, b, c, d) = address.ip().octets().into();
    let address = Ipv4SocketAddress { port: address.port(), address: (a, b, c, d) };
    converse(IpSocketAddress::Ipv4(address), message).map_err(|code| code.name().to_owned())
}

fn converse(address: IpSocketAddress, message: &[u8]) -> Result<Vec<u8>, ErrorCode> {
    let socket = create_tcp_socket(IpAddressFamily::Ipv4)?;
    socket.start_connect(&instance_network(), address)?;
    socket.subscribe().block();
    let (input, output) = socket.finish_connect()?;
    for chunk in message.chunks(4096) {
        output.blocking_write_and_flush(chunk).map_err(|_| ErrorCode::ConnectionAborted)?;
    }
    socket.shutdown(ShutdownType::Send)?;
    let mut answer = Vec::new();
    loop {
        match input.blocking_read(65536) {
            Ok(bytes) => answer.extend(bytes),
            Err(StreamError::Closed) => return Ok(answer),
            Err(StreamError::LastOperationFailed(_)) => return Err(ErrorCode::ConnectionReset),
        }
    }
}
