//! One conversation over `wasi:sockets@0.3.0`: send, close our half, read to the end.
use std::net::SocketAddrV4;

use spin_sdk::wasip3::sockets::types::{IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket};
use spin_sdk::wasip3::wit_stream;

/// Sends `message` to `target` (`IPV4:PORT`) and answers what comes back until the peer closes.
pub async fn talk(target: &str, message: Vec<u8>) -> Result<Vec<u8>, String> {
    let address: SocketAddrV4 = target.parse().map_err(|e| format!("{target}: {e}"))?;
    let (a, b, c, d) = address.ip().octets().into();
    let address = Ipv4SocketAddress { port: address.port(), address: (a, b, c, d) };
    let socket = TcpSocket::create(IpAddressFamily::Ipv4).map_err(|e| format!("{e:?}"))?;
    let connected = socket.connect(IpSocketAddress::Ipv4(address)).await;
    connected.map_err(|e| format!("{e:?}"))?;
    let (mut output, outgoing) = wit_stream::new();
    let (incoming, _) = socket.receive();
    let sent = socket.send(outgoing);
    output.write_all(message).await;
    drop(output);
    sent.await.map_err(|e| format!("{e:?}"))?;
    Ok(incoming.collect().await)
}
