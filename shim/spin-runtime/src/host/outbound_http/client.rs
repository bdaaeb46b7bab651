//! The client: connections kept per host, limits in number and time.

use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::http::header::HOST;
use ::http::{Request, Response, Uri};
use bytes::Bytes;
use futures::future::{Either, select};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::client::legacy::{self, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, timeout};
use wasmtime_wasi_http::{Error, RequestOptions, Result, WasiBody};

use super::connector::Connector;
use super::{H2cServers, errors};
use crate::config::OutboundHttp;
use crate::host::network::Egress;
use crate::http::gather::gather_request;

/// Where a guest sets no limit of its own.
const PATIENCE: Duration = Duration::from_secs(600);
/// Requests of the whole app at once, where runtime-config.toml says nothing.
const MAX_REQUESTS: usize = 4096;
/// Connections kept for each host, and for how long.
const KEPT: usize = 64;
const KEPT_FOR: Duration = Duration::from_secs(30);

type Pool = legacy::Client<HttpsConnector<Connector>, WasiBody>;

/// What the clients of all components have in common.
#[derive(Clone)]
pub(crate) struct ClientSettings {
    keep: bool,
    places: Arc<Semaphore>,
    h2c: Arc<H2cServers>,
}

impl ClientSettings {
    pub(crate) fn new(config: &OutboundHttp, h2c: H2cServers) -> Self {
        let places = config.max_concurrent_requests.unwrap_or(MAX_REQUESTS).clamp(1, Semaphore::MAX_PERMITS);
        Self { keep: config.connection_pooling, places: Arc::new(Semaphore::new(places)), h2c: Arc::new(h2c) }
    }
}

/// Sends the requests of one component. Components don't share connections, because a connection to an
/// address that one of them may reach could be to an address that another may not.
pub(crate) struct Client {
    /// Made by the first request: most components make none.
    pool: OnceLock<Pool>,
    /// For servers that speak HTTP/2 in clear text.
    h2c_pool: OnceLock<Pool>,
    egress: Arc<Egress>,
    settings: ClientSettings,
}

impl Client {
    pub(crate) fn new(egress: Arc<Egress>, settings: ClientSettings) -> Self {
        Self { pool: OnceLock::new(), h2c_pool: OnceLock::new(), egress, settings }
    }

    fn pool(&self, uri: &Uri) -> &Pool {
        match self.settings.h2c.contains(uri) {
            true => self.h2c_pool.get_or_init(|| self.new_pool(true)),
            false => self.pool.get_or_init(|| self.new_pool(false)),
        }
    }

    fn new_pool(&self, http2_only: bool) -> Pool {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(ClientConfig::clone(self.egress.network().tls()))
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(Connector::new(self.egress.clone()));
        legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT_FOR)
            .pool_max_idle_per_host(if self.settings.keep { KEPT } else { 0 })
            .http2_only(http2_only)
            .build(connector)
    }

    /// Sends a request; its address has been found to be allowed.
    pub(super) async fn send(&self, request: Request<WasiBody>, options: RequestOptions) -> Result<Response<WasiBody>> {
        let mut request = gather_request(request).await;
        let place = self.settings.places.clone().acquire_owned().await.map_err(|_| Error::ConnectionLimitReached)?;
        if request.uri().path_and_query().is_none() {
            let mut parts = std::mem::take(request.uri_mut()).into_parts();
            parts.path_and_query = Some(::http::uri::PathAndQuery::from_static("/"));
            *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Error::HttpRequestUriInvalid)?;
        }
        // The client library names the host: over HTTP/2 by `:authority`, beside which some servers take no
        // `host`.
        request.headers_mut().remove(HOST);
        let mut connection = capture_connection(&mut request);
        let connected = async { drop(connection.wait_for_connection_metadata().await) };
        let response = self.pool(request.uri()).request(request);
        let response = within(options, connected, response).await?;
        let limit = options.between_bytes_timeout.unwrap_or(PATIENCE);
        Ok(response.map(|incoming| Limited { incoming, limit, sleep: None, _place: place }.boxed_unsync()))
    }
}

/// Waits for the response as long as the guest has patience, first for the connection, then for the answer.
async fn within(
    options: RequestOptions,
    connected: impl Future<Output = ()>,
    response: ResponseFuture,
) -> Result<Response<Incoming>> {
    let connecting = timeout(options.connect_timeout.unwrap_or(PATIENCE), connected);
    let response = match select(pin!(connecting), response).await {
        Either::Right((response, _)) => return response.map_err(|error| errors::explain(&error)),
        Either::Left((Err(_), _)) => return Err(Error::ConnectionTimeout),
        Either::Left((Ok(()), response)) => response,
    };
    match timeout(options.first_byte_timeout.unwrap_or(PATIENCE), response).await {
        Ok(response) => response.map_err(|error| errors::explain(&error)),
        Err(_) => Err(Error::ConnectionReadTimeout),
    }
}

/// A response's body that must not pause for too long.
struct Limited {
    incoming: Incoming,
    limit: Duration,
    /// Made when the first wait begins: short answers never need it.
    sleep: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

impl Body for Limited {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.sleep = None;
                Poll::Ready(frame.map(|frame| frame.map_err(Error::from)))
            }
            Poll::Pending => {
                let limit = self.limit;
                let sleep = || Box::pin(tokio::time::sleep_until(Instant::now() + limit));
                ready!(self.sleep.get_or_insert_with(sleep).as_mut().poll(cx));
                Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
