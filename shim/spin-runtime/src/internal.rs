//! Requests that stay within the app: one component asks another, or the app itself.

use std::future::Future;
use std::pin::Pin;

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
