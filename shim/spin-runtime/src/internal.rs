//! Requests that stay within the app: one component asks another, or the app itself.

use std::future::Future;
use std::pin::Pin;

use ::http::Request;

use crate::http::{BodyError, WasiBody};

/// Whom a request is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InternalTarget<'a> {
    /// `http://<component>.spin.internal/…`: that component, whatever its routes.
    Component(&'a str),
    /// `http://self/…`: whatever the app's routes say.
    SelfApp,
}

/// The answer to come.
pub type InternalAnswer = Pin<Box<dyn Future<Output = Result<::http::Response<WasiBody>, BodyError>> + Send>>;

/// Answers requests that stay within the app; the HTTP trigger is one. Asked only for what `allowed_outbound_hosts` allows.
pub trait InternalHandler: Send + Sync + 'static {
    /// Answers a request; an unknown component is an error.
    fn handle(&self, target: InternalTarget<'_>, request: ::http::Request<WasiBody>) -> InternalAnswer;
}

/// How deep requests within the app may be nested. The next one fails, so that a component that asks
/// itself without end gets an error instead of taking every instance of the app.
pub(crate) const MAX_DEPTH: u32 = 32;

/// How many requests within the app led to this one; 0 for a request from outside.
#[derive(Clone, Copy)]
pub(crate) struct Depth(pub(crate) u32);

impl Depth {
    /// The depth of a request.
    pub(crate) fn of<Body>(request: &Request<Body>) -> u32 {
        request.extensions().get::<Self>().map_or(0, |depth| depth.0)
    }
}
