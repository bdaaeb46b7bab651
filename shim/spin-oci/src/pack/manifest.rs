//! The `spin.toml` of a plain image: the developer's own, written anew so that it refers to the image's files alone.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use spin_app::{LockedApp, LockedComponent, LockedTrigger, LockedVariable, lock_manifest};

use crate::{Files, LoadedApp, OciError};

/// Where a component's wasm is in the image.
pub(super) fn wasm_path(component: &str) -> String {
    format!("{component}.wasm")
}

/// The directory of a component's files in the image, mounted whole: nothing is copied when it starts.
pub(super) fn files_path(component: &str) -> String {
    format!("files/{component}")
}

/// Writes the manifest, and reads it again: what it says is the same app, or there is no image.
pub(super) fn write(app: &LoadedApp) -> Result<String, OciError> {
    let refuse = |reason: String| OciError::Pack { place: "spin.toml".to_owned(), reason };
    let table = toml::Table::try_from(manifest(app)).map_err(|error| refuse(error.to_string()))?;
    let text = toml::to_string(&table).map_err(|error| refuse(error.to_string()))?;
    let (written, meant) = (comparable(lock_manifest(&text)?.app), comparable(app.app.clone()));
    match written == meant {
        true => Ok(text),
        false => Err(refuse("it has something a plain image can't express; push it as an artifact".to_owned())),
    }
}

/// Without what is meant to differ: where things come from and how they were built.
fn comparable(mut app: LockedApp) -> Value {
    app.metadata.remove("origin");
    for component in &mut app.components {
        component.source.content = Default::default();
        component.metadata.remove("build");
    }
    serde_json::to_value(app).unwrap_or_default()
}

fn manifest(app: &LoadedApp) -> Value {
    let locked = &app.app;
    let variables: Map<_, _> = locked.variables.iter().map(|(name, variable)| (name.clone(), self::variable(variable))).collect();
    let mut triggers: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for trigger in &locked.triggers {
        triggers.entry(&trigger.trigger_type).or_default().push(self::trigger(trigger));
    }
    let components: Map<_, _> = locked.components.iter().map(|found| (found.id.clone(), component(app, found))).collect();
    let mut all = without_nulls(json!({
        "spin_manifest_version": 2,
        "application": application(locked),
        "variables": variables,
        "component": components,
    }));
    // Settings of triggers stay as they are, whatever they mean.
    all["trigger"] = json!(triggers);
    all
}

fn application(app: &LockedApp) -> Value {
    let field = |name: &str| app.metadata.get(name).cloned().unwrap_or_default();
    json!({
        "name": field("name"),
        "version": field("version"),
        "description": field("description"),
        "authors": field("authors"),
        "trigger": field("triggers"),
    })
}

fn variable(variable: &LockedVariable) -> Value {
    let mut table = json!({ "description": variable.description, "default": variable.default });
    if variable.secret {
        table["secret"] = true.into();
    }
    if variable.default.is_none() {
        table["required"] = true.into();
    }
    table
}

fn trigger(trigger: &LockedTrigger) -> Value {
    let mut table = trigger.trigger_config.clone();
    table["id"] = trigger.id.as_str().into();
    table
}

fn component(app: &LoadedApp, component: &LockedComponent) -> Value {
    let field = |name: &str| component.metadata.get(name).cloned().unwrap_or_default();
    let mut table = json!({
        "source": wasm_path(&component.id),
        "description": field("description"),
        "variables": component.config,
        "environment": component.env,
        "allowed_outbound_hosts": field("allowed_outbound_hosts"),
        "key_value_stores": field("key_value_stores"),
        "sqlite_databases": field("databases"),
        "ai_models": field("ai_models"),
    });
    if let Some(Files::Tree(tree)) = app.files.get(&component.id)
        && !tree.is_empty()
    {
        table["files"] = json!([{ "source": files_path(&component.id), "destination": "/" }]);
    }
    table
}

/// TOML has no null: what is not there is not written, nor is a table with nothing in it.
fn without_nulls(value: Value) -> Value {
    let Value::Object(map) = value else { return value };
    let map = map.into_iter().map(|(key, value)| (key, without_nulls(value)));
    Value::Object(map.filter(|(_, value)| !value.is_null() && value.as_object().is_none_or(|map| !map.is_empty())).collect())
}
