//! From a request to its answer.
//!
//! What can be decided without waiting is decided in plain functions: a future keeps what it was called with beside what it makes of it, and this one's
//! size is copied for every request.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use http::header::{CONNECTION, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use spin_runtime::http::{HttpError, WasiBody};

use crate::app::{App, Target};
use crate::body::{AnswerBody, ClientBody, TooBig};
use crate::headers::{self, Malformed};
use crate::reserved;
use crate::watch::Activity;

/// The other end of a connection, and whom it asks.
pub(crate) struct Peer {
    pub app: Arc<App>,
    /// `address:port`, as guests are told.
    pub client: HeaderValue,
    pub activity: Arc<Activity>,
}

/// Who answers a request.
pub(crate) enum Asked {
    /// The component of that index.
    Guest(usize, Request<WasiBody>),
    /// The host, and has.
    Host(Response<AnswerBody>),
}

/// Answers a request that came by the network; whatever a guest does, there is an answer.
pub(crate) async fn answer(peer: Arc<Peer>, request: Request<Incoming>) -> Result<Response<AnswerBody>, Infallible> {
    let busy = peer.activity.begin();
    let one_at_a_time = request.version() <= Version::HTTP_11;
    let told =
        log::log_enabled!(log::Level::Debug).then(|| (Instant::now(), request.method().clone(), request.uri().path().to_owned()));
    let (asked, too_big) = dispatch(&peer, request);
    let mut response = match asked {
        Asked::Guest(component, request) => guest(&peer.app, component, request).await,
        Asked::Host(response) => response,
    };
    if response.status().is_server_error() && too_big.is_some_and(|too_big| too_big.load(Ordering::Relaxed)) {
        response = empty(StatusCode::PAYLOAD_TOO_LARGE);
    }
    if peer.app.draining() && one_at_a_time {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some((start, method, path)) = told {
        log::debug!("{method} {path}: {} in {:?}", response.status().as_u16(), start.elapsed());
    }
    Ok(response.map(|body| body.of(busy)))
}

fn dispatch(peer: &Peer, request: Request<Incoming>) -> (Asked, Option<TooBig>) {
    let (parts, body) = request.into_parts();
    if let Some(name) = parts.uri.path().strip_prefix(reserved::PREFIX) {
        return (Asked::Host(reserved_answer(&peer.app, name)), None);
    }
    match ClientBody::prepare(body, &peer.app.settings, &peer.activity) {
        Some((body, too_big)) => (routed(&peer.app, parts, body, &peer.client), too_big),
        None => (Asked::Host(empty(StatusCode::PAYLOAD_TOO_LARGE)), None),
    }
}

/// Finds the route, and who answers there.
pub(crate) fn routed(app: &App, mut parts: Parts, body: WasiBody, client: &HeaderValue) -> Asked {
    let path = parts.uri.path();
    let found = if path.starts_with('/') { app.router.find(path) } else { None };
    let Some(found) = found else { return Asked::Host(empty(StatusCode::NOT_FOUND)) };
    let component = match &found.route.target {
        Target::Component(component) => *component,
        Target::Static(fixed) => {
            let mut response = Response::new(AnswerBody::host(fixed.body.clone()));
            *response.status_mut() = fixed.status;
            *response.headers_mut() = fixed.headers.clone();
            return Asked::Host(response);
        }
    };
    let prepared = headers::absolute_uri(&parts.uri, &parts.headers)
        .and_then(|uri| headers::set(&mut parts.headers, &uri, &found, client).map(|()| uri));
    match prepared {
        Ok(uri) => {
            parts.uri = uri;
            Asked::Guest(component, Request::from_parts(parts, body))
        }
        Err(malformed) => Asked::Host(refuse(&malformed)),
    }
}

/// Lets a component answer.
pub(crate) async fn guest(app: &Arc<App>, component: usize, request: Request<WasiBody>) -> Response<AnswerBody> {
    let Some(in_work) = app.begin() else { return overloaded() };
    match app.handler(component).handle(request).await {
        Ok(response) => response.map(|body| AnswerBody::guest(body, in_work)),
        Err(HttpError::TimedOut) => empty(StatusCode::GATEWAY_TIMEOUT),
        Err(HttpError::Overloaded) => overloaded(),
        Err(HttpError::BadRequest) => empty(StatusCode::BAD_REQUEST),
        Err(HttpError::Failed) => empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn reserved_answer(app: &App, name: &str) -> Response<AnswerBody> {
    match name {
        "health" if app.draining() => unhealthy("draining"),
        "health" if app.is_stuck() => unhealthy("stuck: requests wait, and no instance becomes free"),
        "health" => Response::new(AnswerBody::host("OK")),
        "info" => {
            let mut response = Response::new(AnswerBody::host(app.info.clone()));
            response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        _ => empty(StatusCode::NOT_FOUND),
    }
}

fn unhealthy(reason: &'static str) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::host(reason));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

fn refuse(malformed: &Malformed) -> Response<AnswerBody> {
    log::debug!("refused a malformed request: {malformed:?}");
    empty(StatusCode::BAD_REQUEST)
}

fn overloaded() -> Response<AnswerBody> {
    let mut response = empty(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

pub(crate) fn empty(status: StatusCode) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::host(""));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of the future that the function returns, in bytes.
    fn size<Answer>(_: impl Fn(Arc<Peer>, Request<Incoming>) -> Answer) -> usize {
        size_of::<Answer>()
    }

    #[test]
    fn what_is_copied_for_every_request_is_small() {
        assert!(size(answer) <= 3 << 10, "{} bytes", size(answer));
    }
}
