//! Connects to the checked addresses of a host.

use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use ::http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::host::network::Egress;
use crate::network::ConnectError;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Makes the connections of one component.
#[derive(Clone)]
pub(super) struct Connector(Arc<Egress>);

impl Connector {
    pub(super) fn new(egress: Arc<Egress>) -> Self {
        Self(egress)
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let egress = self.0.clone();
        Box::pin(async move {
            let addresses = resolve(&egress, &uri).await?;
            // hyper's connector looks up nothing where the host is an address, which is checked by now.
            let mut connector = HttpConnector::new_with_resolver(Resolved(addresses));
            connector.set_nodelay(true);
            connector.enforce_http(false);
            Ok(connector.call(uri).await?)
        })
    }
}

async fn resolve(egress: &Egress, uri: &Uri) -> Result<Vec<SocketAddr>, ConnectError> {
    let scheme = uri.scheme_str().unwrap_or("http");
    let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    egress.resolve(scheme, host, port).await
}

/// A resolver that has resolved its only name already.
#[derive(Clone)]
struct Resolved(Vec<SocketAddr>);

impl Service<Name> for Resolved {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Ready<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _name: Name) -> Self::Future {
        ready(Ok(self.0.clone().into_iter()))
    }
}
