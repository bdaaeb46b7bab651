//! The locked app: what a Spin OCI artifact carries as JSON, and what a manifest becomes once it is read.
//!
//! Both ways into the shim end in this one type, so that nothing behind it knows which way an app came.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// An app, ready to be run: every reference is a file, a digest or the bytes themselves.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct LockedApp {
    /// 0 or 1; in version 0 nothing must be understood.
    #[serde(default)]
    pub spin_lock_version: u64,
    /// Names of fields below that a host may not ignore.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub must_understand: Vec<String>,
    /// `name`, `version`, `description`, `authors`, `trigger` (settings by trigger type), `origin`, …
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// Capabilities the host must have, each `required` or `optional`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub host_requirements: Map<String, Value>,
    /// The app's variables by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, LockedVariable>,
    /// What makes components run.
    pub triggers: Vec<LockedTrigger>,
    /// The components.
    pub components: Vec<LockedComponent>,
}

/// One of the app's variables; required where there is no default.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct LockedVariable {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The value where no provider has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Never to be shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

/// One trigger: an event source bound to a component.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct LockedTrigger {
    /// Unique within the app.
    pub id: String,
    /// `http`, `redis`, …
    pub trigger_type: String,
    /// The trigger type's own settings, `component` among them.
    pub trigger_config: Value,
    /// Components to run before this one (middleware), by role.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub trigger_dependencies: Map<String, Value>,
}

/// One component: its code, its files, what it may use.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct LockedComponent {
    /// Unique within the app.
    pub id: String,
    /// `description`, `allowed_outbound_hosts`, `key_value_stores`, `databases`, `ai_models`, …
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// The wasm.
    pub source: LockedSource,
    /// The guest's environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Files mounted read-only below the guest's `/`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<LockedFile>,
    /// The component's variables: name to template.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// Components to compose with, by import name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dependencies: BTreeMap<String, Value>,
    /// Components to run before this one (middleware), by role.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub trigger_dependencies: Map<String, Value>,
    /// Capabilities the host must have for this component.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub host_requirements: Map<String, Value>,
}

/// Where a component's wasm is.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct LockedSource {
    /// `application/wasm`.
    #[serde(default)]
    pub content_type: String,
    /// The reference itself.
    #[serde(flatten)]
    pub content: ContentRef,
}

/// A file, or a directory mount, of a component.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct LockedFile {
    /// The bytes of the file; for a directory mount, `source` alone.
    #[serde(flatten)]
    pub content: ContentRef,
    /// Where the guest sees it, relative to its root.
    pub path: String,
}

/// A reference to content: by path, by digest, or the bytes themselves.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct ContentRef {
    /// A path relative to the app's root, or a `file:` address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The bytes, base64 in JSON (standard alphabet).
    #[serde(default, skip_serializing_if = "Option::is_none", with = "inline")]
    pub inline: Option<Vec<u8>>,
    /// `sha256:…` of the bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

mod inline {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => serializer.serialize_str(&BASE64_STANDARD.encode(bytes)),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| BASE64_STANDARD.decode(text).map_err(D::Error::custom)).transpose()
    }
}
