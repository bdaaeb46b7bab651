//! A component, linked and ready: what it exports, and the handlers made of that.

use std::sync::Arc;

use wasmtime::component::{InstancePre, types::ComponentItem};
use wasmtime_wasi_http::handler::ProxyPre;

use crate::RuntimeError;
use crate::code::Code;
use crate::host::{Guest, HostState};
use crate::http::{HttpHandler, HttpOptions};
use crate::instance::{Instances, Placed, StoreError};
use crate::message::{MessageHandler, MessageOptions, MessagePre};
use crate::runtime::Hosts;
use crate::tier::{Tier, Tiered};

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
    hosts: Arc<Hosts>,
    code: Code,
    pre: Tiered<InstancePre<HostState>>,
    exports: Vec<String>,
}

impl Component {
    pub(crate) fn new(code: Code, hosts: Arc<Hosts>, guest: Arc<Guest>, instances: Arc<Instances>) -> Result<Self, RuntimeError> {
        let pre = hosts.link(&code, Tier::First, &guest)?;
        let instance = |item: &ComponentItem| matches!(item, ComponentItem::ComponentInstance(_));
        let exports = pre.component().component_type();
        let exports = exports.exports(pre.engine()).filter(|(_, export)| instance(&export.ty));
        let exports = exports.map(|(name, _)| name.to_owned()).collect();
        Ok(Self { guest, instances, hosts, code, pre: Tiered::new(pre), exports })
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
        Ok(HttpHandler::new(self.clone(), self.proxy(Tier::First)?, options))
    }

    /// What HTTP requests are handed to, in that pool.
    pub(crate) fn proxy(&self, tier: Tier) -> Result<ProxyPre<HostState>, RuntimeError> {
        let Some(export) = self.http_export() else {
            return Err(self.no_export("HTTP", "wasi:http/incoming-handler@0.2 or wasi:http/handler@0.3"));
        };
        let pre = self.pre(tier)?.clone();
        let pre = match export {
            HttpExport::Wasi02 => wasmtime_wasi_http::p2::bindings::ProxyPre::new(pre).map(ProxyPre::P2),
            HttpExport::Wasi03 => wasmtime_wasi_http::p3::bindings::ServicePre::new(pre).map(ProxyPre::P3),
        };
        pre.map_err(|error| self.misfit(&error))
    }

    /// A handler of messages.
    pub fn message_handler(self: &Arc<Self>, options: MessageOptions) -> Result<MessageHandler, RuntimeError> {
        Ok(MessageHandler::new(self.clone(), self.messages(Tier::First)?, options))
    }

    /// What messages are handed to, in that pool.
    pub(crate) fn messages(&self, tier: Tier) -> Result<MessagePre, RuntimeError> {
        let Some(export) = self.redis_export() else {
            return Err(self.no_export("Redis", "fermyon:spin/inbound-redis or spin:redis/inbound-redis@3.0.0"));
        };
        MessagePre::new(export, self.pre(tier)?.clone()).map_err(|error| self.misfit(&error))
    }

    fn pre(&self, tier: Tier) -> Result<&InstancePre<HostState>, RuntimeError> {
        self.pre.get(tier, || self.hosts.link(&self.code, tier, &self.guest))
    }

    pub(crate) fn instances(&self) -> &Instances {
        &self.instances
    }

    /// A store for one instance; waits while there are too many.
    pub(crate) async fn store(&self) -> Result<Placed, StoreError> {
        let place = self.instances.place().await?;
        let engine = self.pre(place.tier).map_err(StoreError::Rest)?.engine();
        self.instances.store(place, engine, &self.guest)
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
