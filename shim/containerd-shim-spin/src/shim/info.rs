//! `-info`: what containerd 2 asks before it makes a container, without a bundle.

use anyhow::{Context, Result};
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::types::introspection::{RuntimeInfo, RuntimeVersion};

use super::features::{self, features};
use crate::daemon::RuntimeOptions;
use crate::sys;

/// The name by which containerd finds this binary.
pub const RUNTIME: &str = "io.containerd.spin.v2";

/// The reply, ready to be written. `options` are those of the runtime handler, as containerd sends them.
///
/// containerd 2 gives runc's options to the containers of a pod with users of its own, and fails where the handler has options of
/// another type. Such a handler is not offered for these pods.
pub fn reply(options: &[u8]) -> Result<Vec<u8>> {
    let options = Any::parse_from_bytes(options).context("reading the handler's options")?;
    let has_users = !RuntimeOptions::are_generic(&options);
    let version = RuntimeVersion { version: env!("CARGO_PKG_VERSION").to_owned(), ..Default::default() };
    let value = serde_json::to_vec(&features(has_users, sys::has_idmapped_mounts()))?;
    let features = Any { type_url: features::TYPE_URL.to_owned(), value, ..Default::default() };
    let info = RuntimeInfo {
        name: RUNTIME.to_owned(),
        version: Some(version).into(),
        features: Some(features).into(),
        ..Default::default()
    };
    Ok(info.write_to_bytes()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reply_names_the_runtime_and_its_version() {
        let info = RuntimeInfo::parse_from_bytes(&reply(b"").expect("encodes")).expect("decodes");
        assert_eq!(info.name, "io.containerd.spin.v2");
        assert_eq!(info.version.version, env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn user_namespaces_are_offered_unless_the_handler_has_options_that_containerd_cannot_combine_with_them() {
        let offers = |type_url: &str| {
            let options = Any { type_url: type_url.to_owned(), ..Default::default() }.write_to_bytes().expect("encodes");
            let info = RuntimeInfo::parse_from_bytes(&reply(&options).expect("encodes")).expect("decodes");
            assert_eq!(info.features.type_url, features::TYPE_URL);
            String::from_utf8_lossy(&info.features.value).contains("\"user\"")
        };
        assert!(offers("") && offers("containerd.runc.v1.Options"));
        assert!(!offers("runtimeoptions.v1.Options"));
    }
}
