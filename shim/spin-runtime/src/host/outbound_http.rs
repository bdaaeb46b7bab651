//! Requests of guests to others: to allowed hosts, over connections that are kept, or within the app.

mod client;
mod connector;
mod errors;
mod h2c;

use std::sync::{Arc, LazyLock};

use ::http::header::{CONNECTION, HOST, HeaderName, HeaderValue};
use ::http::{Request, Response};
use spin_app::outbound::{OutboundUrl, chained_component};
use tokio::task::JoinHandle;
use wasmtime::component::Linker;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, Result, WasiBody, WasiHttpHooks,
};

use super::{Guest, HostState};
use crate::InternalTarget;
use crate::internal::{Depth, MAX_DEPTH};
use crate::output::say;
pub(crate) use client::{Client, ClientSettings};
pub use h2c::{H2cServerError, H2cServers};

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}

pub(super) fn link_async(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p3::add_to_linker(linker)
}

/// A future without a name, as the trait below wants it.
type Boxed<T> = Box<dyn Future<Output = T> + Send>;

/// One instance's way out.
pub(crate) struct Hooks {
    guest: Arc<Guest>,
    /// The depth of the requests that the instance works on.
    pub(super) depth: u32,
}

impl Hooks {
    pub(super) fn new(guest: Arc<Guest>) -> Self {
        Self { guest, depth: 0 }
    }
}

/// What a guest neither sees nor sets: the connection's own. The host it may see and set, but what it set is replaced. Spin's, most of a short request's, are asked about first.
fn forbidden(name: &HeaderName) -> bool {
    !name.as_str().starts_with("spin-") && name != HOST && DEFAULT_FORBIDDEN_HEADERS.contains(name)
}

impl WasiHttpHooks for Hooks {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        forbidden(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        static FILTER: LazyLock<ForbiddenHeaderFilter> = LazyLock::new(|| Arc::new(forbidden));
        FILTER.clone()
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        // Tells what became of the answer's body; nothing here depends on it.
        _answered: Boxed<Result<()>>,
    ) -> Boxed<Result<(Response<WasiBody>, Boxed<Result<()>>)>> {
        let (guest, depth) = (self.guest.clone(), self.depth);
        Box::new(async move {
            let answer = guest.send(request, options.unwrap_or_default(), depth).await?;
            // The connection lives in a task of its own: nothing is left to be driven.
            Ok((answer, Box::new(std::future::ready(Ok(()))) as Boxed<_>))
        })
    }
}

impl Guest {
    async fn send(&self, mut request: Request<WasiBody>, options: RequestOptions, depth: u32) -> Result<Response<WasiBody>> {
        let url = url(&request)?;
        set_host(&mut request)?;
        if let "self" | "self.alt" = url.host.as_str() {
            return match self.egress.may_ask_self(&url.scheme) {
                true => self.send_inside(InternalTarget::SelfApp, request, depth).await,
                false => Err(Error::HttpRequestDenied),
            };
        }
        if !self.egress.may_connect(&url) {
            return Err(Error::HttpRequestDenied);
        }
        match chained_component(&url.host) {
            Some(component) => self.send_inside(InternalTarget::Component(component), request, depth).await,
            None => self.http.send(request, options).await,
        }
    }

    /// Sends a request to a component of the app. `depth`: of the asking instance.
    async fn send_inside(
        &self,
        target: InternalTarget<'_>,
        mut request: Request<WasiBody>,
        depth: u32,
    ) -> Result<Response<WasiBody>> {
        let Some(handler) = self.services.internal.get() else { return Err(Error::DestinationNotFound) };
        if depth >= MAX_DEPTH {
            let id = &self.id;
            say(&format!("component \"{id}\" failed to ask within the app: {MAX_DEPTH} nested requests are the limit"));
            return Err(Error::LoopDetected);
        }
        request.extensions_mut().insert(Depth(depth + 1));
        // A task of its own: the event loop of the asking instance's store may be polling this future,
        // and wasmtime panics if another store's event loop runs within it.
        let mut answering = Answering(tokio::spawn(handler.handle(target, request)));
        (&mut answering.0).await.unwrap_or_else(|_panicked| Err(Error::InternalError(None)))
    }
}

/// The task of a request within the app; dropping it ends the task.
struct Answering(JoinHandle<Result<Response<WasiBody>>>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Names the host that the request goes to, and no other that the guest may have set: servers tell hosts that share an address apart by it, so that
/// another one would lead past the list of allowed hosts.
fn set_host(request: &mut Request<WasiBody>) -> Result<()> {
    let authority = request.uri().authority().ok_or(Error::HttpRequestUriInvalid)?.as_str();
    let host = authority.rsplit_once('@').map_or(authority, |(_user, host)| host);
    let host = HeaderValue::from_str(host).map_err(|_| Error::HttpRequestUriInvalid)?;
    request.headers_mut().remove(CONNECTION);
    request.headers_mut().insert(HOST, host);
    Ok(())
}

fn url(request: &Request<WasiBody>) -> Result<OutboundUrl> {
    let uri = request.uri();
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(Error::HttpRequestUriInvalid) };
    OutboundUrl::parse(&format!("{scheme}://{authority}"), scheme).map_err(|_| Error::HttpRequestUriInvalid)
}
