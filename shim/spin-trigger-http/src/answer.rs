//! From a request to its answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use http::header::{CONNECTION, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use spin_runtime::http::{HttpError, WasiBody};

use crate::app::{App, Target};
use crate::body::{AnswerBody, ClientBody};
use crate::headers::{self, Malformed};
use crate::reserved;
use crate::watch::Activity;

/// The other end of a connection.
pub(crate) struct Peer {
    /// `address:port`, as guests are told.
    pub client: HeaderValue,
    pub activity: Arc<Activity>,
}

/// Answers a request that came by the network; whatever a guest does, there is an answer.
pub(crate) async fn answer(app: Arc<App>, peer: Arc<Peer>, request: Request<Incoming>) -> Response<AnswerBody> {
    let busy = peer.activity.begin();
    let version = request.version();
    let told =
        log::log_enabled!(log::Level::Debug).then(|| (Instant::now(), request.method().clone(), request.uri().path().to_owned()));
    let mut response = dispatch(&app, &peer, request).await;
    if app.draining() && version <= Version::HTTP_11 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some((start, method, path)) = told {
        log::debug!("{method} {path}: {} in {:?}", response.status().as_u16(), start.elapsed());
    }
    response.map(|body| body.of(busy))
}

async fn dispatch(app: &Arc<App>, peer: &Peer, request: Request<Incoming>) -> Response<AnswerBody> {
    let (parts, body) = request.into_parts();
    if let Some(name) = parts.uri.path().strip_prefix(reserved::PREFIX) {
        return reserved_answer(app, name);
    }
    let Some(body) = ClientBody::prepare(body, &app.settings, &peer.activity) else {
        return empty(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let (body, too_big) = body;
    let response = routed(app, parts, body, &peer.client).await;
    match response.status().is_server_error() && too_big.load(Ordering::Relaxed) {
        true => empty(StatusCode::PAYLOAD_TOO_LARGE),
        false => response,
    }
}

/// Finds the route and lets it answer.
pub(crate) async fn routed(app: &Arc<App>, mut parts: Parts, body: WasiBody, client: &HeaderValue) -> Response<AnswerBody> {
    let path = parts.uri.path();
    let found = if path.starts_with('/') { app.router.find(path) } else { None };
    let Some(found) = found else { return empty(StatusCode::NOT_FOUND) };
    let component = match &found.route.target {
        Target::Component(component) => *component,
        Target::Static(fixed) => {
            let mut response = Response::new(AnswerBody::host(fixed.body.clone()));
            *response.status_mut() = fixed.status;
            *response.headers_mut() = fixed.headers.clone();
            return response;
        }
    };
    let prepared = headers::absolute_uri(&parts.uri, &parts.headers)
        .and_then(|uri| headers::set(&mut parts.headers, &uri, &found, client).map(|()| uri));
    match prepared {
        Ok(uri) => parts.uri = uri,
        Err(malformed) => return refuse(&malformed),
    }
    guest(app, component, Request::from_parts(parts, body)).await
}

/// Lets a component answer.
pub(crate) async fn guest(app: &Arc<App>, component: usize, request: Request<WasiBody>) -> Response<AnswerBody> {
    let Some(in_work) = app.begin() else { return overloaded() };
    let limited = app.settings.request_timeout.map(|limit| (Instant::now(), limit));
    // An instance that is ended over its time may look like one that failed.
    let late = || limited.is_some_and(|(start, limit)| start.elapsed() >= limit);
    match app.handler(component).handle(request).await {
        Ok(response) => response.map(|body| AnswerBody::guest(body, in_work)),
        Err(HttpError::TimedOut) => empty(StatusCode::GATEWAY_TIMEOUT),
        Err(HttpError::Failed) if late() => empty(StatusCode::GATEWAY_TIMEOUT),
        Err(HttpError::Overloaded) => overloaded(),
        Err(HttpError::BadRequest) => empty(StatusCode::BAD_REQUEST),
        Err(HttpError::Failed) => empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn reserved_answer(app: &App, name: &str) -> Response<AnswerBody> {
    match name {
        "health" if app.draining() => {
            let mut response = Response::new(AnswerBody::host("draining"));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response
        }
        "health" => Response::new(AnswerBody::host("OK")),
        "info" => {
            let mut response = Response::new(AnswerBody::host(app.info.clone()));
            response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        _ => empty(StatusCode::NOT_FOUND),
    }
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
