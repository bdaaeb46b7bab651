//! A component, linked and ready: what it exports, and the handlers made of that.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{InstancePre, types::ComponentItem};
use wasmtime_wasi_http::handler::ProxyPre;

use crate::host::{Guest, HostState};
use crate::http::{HttpHandler, HttpOptions};
use crate::instance::{Instances, StoreError};
use crate::message::{MessageHandler, MessageOptions, MessagePre};
use crate::{RuntimeError, host};

/// How a component handles HTTP requests.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HttpExport {
    /// `wasi:http/incoming-handler@0.2.x`.
    Wasi02,
    /// `wasi:http/handler@0.3.x`.
    Wasi03,
}

/// How a component handles Redis messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RedisExport {
    /// `fermyon:spin/inbound-redis`.
    Spin2,
    /// `spin:redis/inbound-redis@3.0.0`.
    Spin3,
}

/// One component of the app, linked.
pub struct Component {
    guest: Arc<Guest>,
    instances: Arc<Instances>,
    pre: InstancePre<HostState>,
    exports: Vec<String>,
}

impl Component {
    pub(crate) fn new(
        code: &wasmtime::component::Component,
        linker: &host::Linker,
        guest: Arc<Guest>,
        instances: Arc<Instances>,
    ) -> Result<Self, RuntimeError> {
        let pre = linker.link(code, &guest)?;
        let instance = |item: &ComponentItem| matches!(item, ComponentItem::ComponentInstance(_));
        let exports = code.component_type();
        let exports = exports.exports(code.engine()).filter(|(_, export)| instance(&export.ty));
        let exports = exports.map(|(name, _)| name.to_owned()).collect();
        Ok(Self { guest, instances, pre, exports })
    }

    /// Its id in the app.
    pub fn id(&self) -> &str {
        &self.guest.id
    }

    /// How it handles HTTP requests, if it does.
    pub fn http_export(&self) -> Option<HttpExport> {
        self.exports.iter().find_map(|name| match name.split_once('@')? {
            ("wasi:http/incoming-handler", version) if release(version, "0.2.") => Some(HttpExport::Wasi02),
            ("wasi:http/handler", version) if release(version, "0.3.") => Some(HttpExport::Wasi03),
            _ => None,
        })
    }

    /// How it handles Redis messages, if it does.
    pub fn redis_export(&self) -> Option<RedisExport> {
        self.exports.iter().find_map(|name| match name.as_str() {
            "fermyon:spin/inbound-redis" => Some(RedisExport::Spin2),
            "spin:redis/inbound-redis@3.0.0" => Some(RedisExport::Spin3),
            _ => None,
        })
    }

    /// A handler of HTTP requests. One serves one tokio runtime: see [`HttpHandler`].
    pub fn http_handler(self: &Arc<Self>, options: HttpOptions) -> Result<HttpHandler, RuntimeError> {
        let pre = match self.http_export() {
            Some(HttpExport::Wasi02) => wasmtime_wasi_http::p2::bindings::ProxyPre::new(self.pre.clone()).map(ProxyPre::P2),
            Some(HttpExport::Wasi03) => wasmtime_wasi_http::p3::bindings::ServicePre::new(self.pre.clone()).map(ProxyPre::P3),
            None => return Err(self.no_export("HTTP", "wasi:http/incoming-handler@0.2 or wasi:http/handler@0.3")),
        };
        Ok(HttpHandler::new(self.clone(), pre.map_err(|error| self.misfit(&error))?, options))
    }

    /// A handler of messages.
    pub fn message_handler(self: &Arc<Self>, options: MessageOptions) -> Result<MessageHandler, RuntimeError> {
        let Some(export) = self.redis_export() else {
            return Err(self.no_export("Redis", "fermyon:spin/inbound-redis or spin:redis/inbound-redis@3.0.0"));
        };
        let pre = MessagePre::new(export, self.pre.clone()).map_err(|error| self.misfit(&error))?;
        Ok(MessageHandler::new(self.clone(), pre, options))
    }

    pub(crate) fn instances(&self) -> &Instances {
        &self.instances
    }

    /// A store for one instance; waits while there are too many.
    pub(crate) async fn store(&self) -> Result<Store<HostState>, StoreError> {
        self.instances.store(self.pre.engine(), &self.guest).await
    }

    fn misfit(&self, error: &wasmtime::Error) -> RuntimeError {
        RuntimeError::Import { component: self.id().to_owned(), reason: format!("{error:#}") }
    }

    fn no_export(&self, what: &'static str, wanted: &'static str) -> RuntimeError {
        let component = self.id().to_owned();
        let old = |name: &&String| {
            name.starts_with("wasi:http/")
                || name.starts_with("fermyon:spin/inbound-")
                || (what == "HTTP" && name.starts_with("wasi:cli/run@"))
        };
        match self.exports.iter().find(old) {
            Some(export) if (what == "HTTP") != export.contains("redis") => {
                RuntimeError::OldExport { component, export: export.clone() }
            }
            _ if self.exports.is_empty() => RuntimeError::NoExport { component, what, wanted, found: "nothing".to_owned() },
            _ => RuntimeError::NoExport { component, what, wanted, found: self.exports.join(", ") },
        }
    }
}

/// A released version of that series, not a release candidate, whose interfaces are others.
fn release(version: &str, series: &str) -> bool {
    version.strip_prefix(series).is_some_and(|patch| patch.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::release;

    #[test]
    fn a_release_candidate_is_no_release() {
        assert!(release("0.2.0", "0.2.") && release("0.2.12", "0.2."));
        assert!(!release("0.2.0-rc-2023-11-10", "0.2.") && !release("0.3.0", "0.2."));
    }
}
