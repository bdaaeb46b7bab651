//! `hello-native ADDRESS`: what the hello guests do, as a native server. Each core has a runtime and a listener of its own.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::thread::{available_parallelism, spawn};

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait to be accepted, of each listener.
const BACKLOG: u32 = 1024;

fn main() {
    let address: SocketAddr = std::env::args().nth(1).and_then(|text| text.parse().ok()).expect("usage: hello-native ADDRESS");
    let others = available_parallelism().map_or(1, usize::from) - 1;
    for _ in 0..others {
        spawn(move || serve(address));
    }
    serve(address);
}

fn serve(address: SocketAddr) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(async {
        let listener = listen(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        loop {
            // A client may be gone before it is accepted.
            let Ok((stream, _)) = listener.accept().await else { continue };
            let _only_latency = stream.set_nodelay(true);
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(hello));
            tokio::spawn(connection);
        }
    });
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn hello(_request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = Full::new(Bytes::from_static(b"hello"));
    Ok(Response::builder().header("content-type", "text/plain").body(body).expect("the header is valid"))
}
