//! Reading a locked app from JSON, and asking it.

use serde_json::{Map, Value, json};

use crate::{Error, LockedApp, LockedComponent, LockedTrigger, outbound};

/// More than any locked app has; what is larger is not read.
pub const MAX_LOCKED_APP_BYTES: usize = 16 << 20;

/// In `must_understand`: the app's `host_requirements`.
pub(crate) const HOST_REQUIREMENTS: &str = "host_requirements";
/// In `must_understand`: the `host_requirements` of components.
pub(crate) const COMPONENT_HOST_REQUIREMENTS: &str = "component_host_requirements";
/// The host requirement of apps whose components call each other by `<component>.spin.internal`.
pub(crate) const SERVICE_CHAINING: &str = "local_service_chaining";

impl LockedApp {
    /// Reads the JSON of a locked app, brings old shapes into today's, and checks what can be checked without its content.
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        if json.len() > MAX_LOCKED_APP_BYTES {
            return Err(Error::TooLarge { what: "the locked app", size: json.len(), limit: MAX_LOCKED_APP_BYTES });
        }
        let mut app: Self = serde_json::from_slice(json).map_err(|error| Error::LockedApp(error.to_string()))?;
        rename_trigger_settings(&mut app.metadata);
        app.components.iter_mut().try_for_each(convert_http_hosts)?;
        app.check()?;
        Ok(app)
    }

    /// The app's name; empty where it has none.
    pub fn name(&self) -> &str {
        text(&self.metadata, "name").unwrap_or_default()
    }

    /// The app's version, as it was written.
    pub fn version(&self) -> Option<&str> {
        text(&self.metadata, "version")
    }

    /// The component of that id.
    pub fn component(&self, id: &str) -> Option<&LockedComponent> {
        self.components.iter().find(|component| component.id == id)
    }

    /// The settings of all triggers of a type (`[application.trigger.<type>]`).
    pub fn trigger_metadata(&self, trigger_type: &str) -> Option<&Value> {
        self.metadata.get("triggers")?.get(trigger_type)
    }

    /// The triggers of a type, in order.
    pub fn triggers_of(&self, trigger_type: &str) -> impl Iterator<Item = &LockedTrigger> {
        self.triggers.iter().filter(move |trigger| trigger.trigger_type == trigger_type)
    }
}

impl LockedTrigger {
    /// The component it runs.
    pub fn component(&self) -> Option<&str> {
        self.trigger_config.get("component")?.as_str()
    }

    /// Every component it names: the one it runs, and those it has for other roles.
    pub fn component_ids(&self) -> impl Iterator<Item = &str> {
        let roles = self.trigger_config.get("components").and_then(Value::as_object);
        let others = roles.into_iter().flat_map(Map::values).flat_map(|ids| ids.as_array().into_iter().flatten());
        self.component().into_iter().chain(others.filter_map(Value::as_str))
    }
}

impl LockedComponent {
    /// The entries of `allowed_outbound_hosts`, templates not yet resolved.
    pub fn allowed_outbound_hosts(&self) -> Vec<String> {
        texts(&self.metadata, "allowed_outbound_hosts")
    }

    /// The labels of the key-value stores it may open.
    pub fn key_value_stores(&self) -> Vec<String> {
        texts(&self.metadata, "key_value_stores")
    }

    /// The labels of the SQLite databases it may open.
    pub fn sqlite_databases(&self) -> Vec<String> {
        texts(&self.metadata, "databases")
    }

    /// The models it may use.
    pub fn ai_models(&self) -> Vec<String> {
        texts(&self.metadata, "ai_models")
    }
}

/// Before an app could have several types of triggers, the settings of its only one stood in `trigger`, its `type` among them.
fn rename_trigger_settings(metadata: &mut Map<String, Value>) {
    if metadata.contains_key("triggers") {
        return;
    }
    let Some(Value::Object(mut settings)) = metadata.get("trigger").cloned() else {
        return;
    };
    if let Some(Value::String(trigger_type)) = settings.remove("type") {
        metadata.insert("triggers".to_owned(), json!({ trigger_type: settings }));
    }
}

/// Old locked apps have `allowed_http_hosts` still.
fn convert_http_hosts(component: &mut LockedComponent) -> Result<(), Error> {
    let Some(Value::Array(hosts)) = component.metadata.remove("allowed_http_hosts") else {
        return Ok(());
    };
    let hosts: Vec<_> = hosts.iter().filter_map(Value::as_str).collect();
    let malformed = |error: Error| Error::Invalid {
        place: format!("`allowed_http_hosts` of component {:?}", component.id),
        reason: error.to_string(),
    };
    let converted = outbound::from_http_hosts(&hosts).map_err(malformed)?;
    let allowed = component.metadata.entry("allowed_outbound_hosts").or_insert_with(|| json!([]));
    if let Value::Array(allowed) = allowed {
        allowed.extend(converted.into_iter().map(Value::String));
    }
    Ok(())
}

fn text<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    map.get(key)?.as_str()
}

fn texts(map: &Map<String, Value>, key: &str) -> Vec<String> {
    let list = map.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
