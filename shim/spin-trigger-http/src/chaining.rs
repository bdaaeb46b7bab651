//! Requests from one component of the app to another, or to the app itself, without a network between them.

use std::future::ready;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::BodyExt;
use spin_runtime::http::{BodyError, WasiBody};
use spin_runtime::{InternalHandler, InternalTarget};

use crate::answer::{self, Asked};
use crate::app::App;
use crate::body::AnswerBody;
use crate::headers;
use crate::router::Router;

/// What guests are told instead of a client's address.
const NO_CLIENT: HeaderValue = HeaderValue::from_static("0.0.0.0:0");

/// Answers what the app's own components ask; it does not keep the server alive.
pub(crate) struct Chaining {
    app: Weak<App>,
    /// `/...`: the route that a component is told when it was addressed by its id.
    everything: Router<()>,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<WasiBody>, BodyError>> + Send>>;

impl Chaining {
    pub fn new(app: &Arc<App>) -> Self {
        let mut everything = Router::new();
        let added = everything.add("/...", ());
        debug_assert!(added.is_ok(), "a wildcard alone is a route");
        Self { app: Arc::downgrade(app), everything }
    }

    fn to_component(&self, app: Arc<App>, id: &str, request: Request<WasiBody>) -> Result<Answer, BodyError> {
        let component = *app.components.get(id).ok_or(BodyError::DestinationNotFound)?;
        let (mut parts, body) = request.into_parts();
        parts.headers.remove(HOST);
        let uri = headers::absolute_uri(&parts.uri, parts.version, &parts.headers, || None)
            .map_err(|_| BodyError::HttpRequestUriInvalid)?;
        let found = self.everything.find(uri.path()).ok_or(BodyError::HttpRequestUriInvalid)?;
        headers::set(&mut parts.headers, &uri, &found, &NO_CLIENT).map_err(|_| BodyError::HttpRequestUriInvalid)?;
        parts.uri = uri;
        let request = Request::from_parts(parts, body);
        Ok(ask(app, component, request))
    }

    fn to_self(&self, app: Arc<App>, request: Request<WasiBody>) -> Result<Answer, BodyError> {
        let (mut parts, body) = request.into_parts();
        parts.headers.remove(HOST);
        let mut uri = parts.uri.into_parts();
        uri.scheme = Some(http::uri::Scheme::HTTP);
        uri.authority = app.authority.get().cloned();
        parts.uri = Uri::from_parts(uri).map_err(|_| BodyError::HttpRequestUriInvalid)?;
        match answer::routed(&app, parts, body, &NO_CLIENT, || None) {
            Asked::Guest(component, request) => Ok(ask(app, component, request)),
            Asked::Host(response) => Ok(Box::pin(ready(Ok(boxed(response))))),
        }
    }
}

impl InternalHandler for Chaining {
    fn handle(&self, target: InternalTarget<'_>, request: Request<WasiBody>) -> Answer {
        let answer = match (self.app.upgrade(), target) {
            (None, _) => Err(BodyError::DestinationUnavailable),
            (Some(app), InternalTarget::Component(id)) => self.to_component(app, id, request),
            (Some(app), InternalTarget::SelfApp) => self.to_self(app, request),
        };
        answer.unwrap_or_else(|error| Box::pin(ready(Err(error))))
    }
}

fn ask(app: Arc<App>, component: usize, request: Request<WasiBody>) -> Answer {
    Box::pin(async move {
        let Some(in_work) = app.begin() else { return Ok(boxed(answer::overloaded())) };
        let answer = app.handler(component).handle(request).await;
        Ok(boxed(answer::of_guest(answer).map(|body| body.in_work(in_work, None))))
    })
}

fn boxed(response: Response<AnswerBody>) -> Response<WasiBody> {
    response.map(BodyExt::boxed_unsync)
}
