//! From a request to its answer.
//!
//! What can be decided without waiting is decided in plain functions: a future keeps what it was called with beside what it makes of it, and this one's
//! size is copied for every request.

use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use spin_runtime::http::{HttpError, WasiBody};

use crate::activity::{ActiveRequest, Activity};
use crate::app::{App, InWork, Target};
use crate::body::{AnswerBody, ClientBody, TooBig};
use crate::headers::{self, Malformed};
use crate::memory_budget::Permit;
use crate::reserved;
use crate::worker::WorkerState;

/// How long a request waits until those before it are answered, before it is refused.
const WAIT: Duration = Duration::from_secs(10);

/// Bytes of an HTTP/2 head that the budget of heads does not count.
const FREE_STREAM_HEAD_BYTES: usize = 1 << 10;

/// The memory of a header field beside its name and value, in bytes.
const FIELD_BYTES: usize = 104;

/// The other end of a connection, and whom it asks.
pub(crate) struct Peer {
    pub app: Arc<App>,
    /// `address:port`, as guests are told.
    pub client: HeaderValue,
    pub activity: Arc<Activity>,
    pub worker: Arc<WorkerState>,
}

/// Who answers a request.
pub(crate) enum Asked {
    /// The component of that index.
    Guest(usize, Request<WasiBody>),
    /// The host, and has.
    Host(Response<AnswerBody>),
}

/// Answers a request of HTTP/1. Whatever a guest does, there is an answer.
pub(crate) fn answer(
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<AnswerBody>, Infallible>> + Send {
    let active = peer.activity.begin_request();
    respond(peer, request, active, None)
}

/// The answer to a request of HTTP/2.
pub(crate) type StreamAnswer = Pin<Box<dyn Future<Output = Result<Response<AnswerBody>, Infallible>> + Send>>;

/// Answers a request of HTTP/2. It is counted before anything runs: hyper reads the heads of all streams of a
/// connection, and makes a task for each, before it polls the first. A refused one takes little memory.
pub(crate) fn answer_stream(peer: Arc<Peer>, request: Request<Incoming>) -> StreamAnswer {
    let mut active = peer.activity.begin_request();
    match admit_stream(&peer.app, &request, &mut active) {
        Ok(in_work) => Box::pin(respond(peer, request, active, in_work)),
        Err(StatusCode::SERVICE_UNAVAILABLE) => Box::pin(ready(Ok(overloaded().map(|body| body.of(active))))),
        Err(status) => Box::pin(ready(Ok(empty(status).map(|body| body.of(active))))),
    }
}

/// Counts a request of HTTP/2, and its head against the budget of heads. None: the host answers it.
fn admit_stream(app: &Arc<App>, request: &Request<Incoming>, active: &mut ActiveRequest) -> Result<Option<InWork>, StatusCode> {
    let headers = request.headers();
    if headers.len() > app.settings.max_headers {
        return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    if request.uri().path().starts_with(reserved::PREFIX) {
        return Ok(None);
    }
    let fields: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_BYTES).sum();
    let bytes = fields + request.uri().path().len() + request.uri().query().map_or(0, str::len);
    if bytes > FREE_STREAM_HEAD_BYTES {
        let kib = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX);
        active.hold_head_permit(app.registry.heads.try_take(kib).ok_or(StatusCode::SERVICE_UNAVAILABLE)?);
    }
    app.begin().map(Some).ok_or(StatusCode::SERVICE_UNAVAILABLE)
}

/// `in_work`: the count of the request, if it was counted before.
async fn respond(
    peer: Arc<Peer>,
    request: Request<Incoming>,
    active: ActiveRequest,
    in_work: Option<InWork>,
) -> Result<Response<AnswerBody>, Infallible> {
    let one_at_a_time = request.version() <= Version::HTTP_11;
    let logged = log::log_enabled!(log::Level::Debug)
        .then(|| Box::new((Instant::now(), request.method().clone(), request.uri().path().to_owned())));
    let (asked, too_big) = dispatch(&peer, request);
    let mut response = match asked {
        Asked::Guest(component, request) => match turn(&peer.app, in_work).await {
            Some((in_work, work)) => {
                let answer = peer.app.handler(component).handle(request).await;
                of_guest(answer).map(|body| body.in_work(in_work, Some(work)))
            }
            None => overloaded(),
        },
        Asked::Host(response) => response,
    };
    if response.status().is_server_error() && too_big.is_some_and(|too_big| too_big.load(Ordering::Relaxed)) {
        response = empty(StatusCode::PAYLOAD_TOO_LARGE);
    }
    if one_at_a_time && (peer.app.draining() || peer.worker.is_resting()) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some((start, method, path)) = logged.as_deref() {
        log::debug!("{method} {path}: {} in {:?}", response.status().as_u16(), start.elapsed());
    }
    Ok(response.map(|body| body.of(active)))
}

fn dispatch(peer: &Peer, request: Request<Incoming>) -> (Asked, Option<TooBig>) {
    let (parts, body) = request.into_parts();
    if let Some(name) = parts.uri.path().strip_prefix(reserved::PREFIX) {
        return (Asked::Host(reserved_answer(&peer.app, name)), None);
    }
    match ClientBody::prepare(body, &peer.app.settings, &peer.activity) {
        Some((body, too_big)) => (routed(&peer.app, parts, body, &peer.client, || peer.app.authority.get().cloned()), too_big),
        None => (Asked::Host(empty(StatusCode::PAYLOAD_TOO_LARGE)), None),
    }
}

/// Finds the route, and who answers there. `host` stands for the host of a request that need not name any.
pub(crate) fn routed(
    app: &App,
    mut parts: Parts,
    body: WasiBody,
    client: &HeaderValue,
    host: impl FnOnce() -> Option<Authority>,
) -> Asked {
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
    let prepared = headers::absolute_uri(&parts.uri, parts.version, &parts.headers, host)
        .and_then(|uri| headers::set(&mut parts.headers, &uri, &found, client).map(|()| uri));
    match prepared {
        Ok(uri) => {
            parts.uri = uri;
            Asked::Guest(component, Request::from_parts(parts, body))
        }
        Err(malformed) => Asked::Host(refuse(malformed)),
    }
}

/// Waits for a turn of the guests. None: too many requests wait, or this one has waited for [`WAIT`].
async fn turn(app: &Arc<App>, in_work: Option<InWork>) -> Option<(InWork, Permit)> {
    let in_work = match in_work {
        Some(in_work) => in_work,
        None => app.begin()?,
    };
    let work = match app.registry.work.try_take(1) {
        Some(work) => work,
        // In memory of its own: few requests wait, and every request copies this future.
        None => Box::pin(wait_for_work(app)).await?,
    };
    Some((in_work, work))
}

async fn wait_for_work(app: &App) -> Option<Permit> {
    let _waiting = app.begin_to_wait();
    tokio::time::timeout(WAIT, app.registry.take(&app.registry.work, 1)).await.ok()
}

/// The response for what a component's handler returned.
pub(crate) fn of_guest(answer: Result<Response<WasiBody>, HttpError>) -> Response<AnswerBody> {
    match answer {
        Ok(response) => response.map(AnswerBody::guest),
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

fn refuse(malformed: Malformed) -> Response<AnswerBody> {
    log::debug!("refused a malformed request: {malformed}");
    let mut response = Response::new(AnswerBody::host(format!("{malformed}\n")));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

/// There is too much to do.
pub(crate) fn overloaded() -> Response<AnswerBody> {
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
