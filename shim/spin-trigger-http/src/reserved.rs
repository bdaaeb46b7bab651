//! `/.well-known/spin/`: paths that belong to the host, whatever the app's routes say.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

/// Everything below this path is answered here.
pub(crate) const PREFIX: &str = "/.well-known/spin/";

/// The answer of `info`.
#[derive(Serialize)]
struct Info<'app> {
    name: &'app str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'app str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oci_image_digest: Option<&'app str>,
}

/// The JSON that describes the app, from the locked app's metadata.
pub(crate) fn info(metadata: &Map<String, Value>) -> Bytes {
    let text = |key| metadata.get(key).and_then(Value::as_str);
    let info =
        Info { name: text("name").unwrap_or("<unnamed>"), version: text("version"), oci_image_digest: text("oci_image_digest") };
    serde_json::to_vec_pretty(&info).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn info_tells_what_the_app_tells_of_itself() {
        let Value::Object(metadata) = json!({"name": "a", "version": "1", "origin": "secret"}) else { return };
        let told: Value = serde_json::from_slice(&info(&metadata)).expect("JSON");
        assert_eq!(told, json!({"name": "a", "version": "1"}));
        let told: Value = serde_json::from_slice(&info(&Map::new())).expect("JSON");
        assert_eq!(told, json!({"name": "<unnamed>"}));
    }
}
