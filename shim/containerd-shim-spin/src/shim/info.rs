//! `-info`: what containerd 2 asks before it makes a container, without a bundle.

use anyhow::Result;
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::types::introspection::{RuntimeInfo, RuntimeVersion};

use super::features::{self, features};

/// The name by which containerd finds this binary.
pub const RUNTIME: &str = "io.containerd.spin.v2";

/// The reply, ready to be written.
pub fn reply() -> Result<Vec<u8>> {
    let version = RuntimeVersion { version: env!("CARGO_PKG_VERSION").to_owned(), ..Default::default() };
    let value = serde_json::to_vec(&features())?;
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
        let info = RuntimeInfo::parse_from_bytes(&reply().expect("encodes")).expect("decodes");
        assert_eq!(info.name, "io.containerd.spin.v2");
        assert_eq!(info.version.version, env!("CARGO_PKG_VERSION"));
    }
}
