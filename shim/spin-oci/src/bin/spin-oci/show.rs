//! An app in words, or as JSON.

use std::fmt::Write;

use indicatif::HumanBytes;
use serde_json::{Map, Value, json};
use spin_app::text::one_line;
use spin_app::{LockedApp, LockedComponent, LockedTrigger};
use spin_oci::{Files, Kind, Opened, Wasm};

/// A locked app, indented.
pub(crate) fn locked(app: &LockedApp) -> String {
    format!("{:#}\n", json!(app))
}

/// All that is known, as JSON.
pub(crate) fn json(opened: &Opened) -> String {
    let components: Map<_, _> =
        opened.app.components.iter().map(|(id, wasm)| (id.clone(), component(opened, id, wasm))).collect();
    let digest = opened.digest.as_ref().map(|digest| digest.as_str());
    format!("{:#}\n", json!({ "kind": kind(opened.kind), "digest": digest, "app": opened.app.app, "components": components }))
}

fn component(opened: &Opened, id: &str, wasm: &Wasm) -> Value {
    let files: Map<_, _> = match opened.app.files.get(id) {
        Some(Files::Tree(tree)) => tree.files().map(|(path, digest)| (path.to_owned(), json!(digest.as_str()))).collect(),
        _ => Map::new(),
    };
    json!({ "digest": wasm.digest.as_str(), "size": wasm.size, "files": files })
}

/// For people.
pub(crate) fn text(opened: &Opened) -> String {
    let (mut text, app) = (String::new(), &opened.app.app);
    let version = app.version().map(|version| format!(" {version}")).unwrap_or_default();
    line(&mut text, 0, &format!("{}{version}", app.name()));
    if let Some(description) = app.metadata.get("description").and_then(Value::as_str) {
        line(&mut text, 1, description);
    }
    let digest = opened.digest.as_ref().map(|digest| format!(", {digest}")).unwrap_or_default();
    line(&mut text, 1, &format!("{}{digest}", kind(opened.kind)));
    section(&mut text, "triggers", app.triggers.iter().map(trigger));
    section(
        &mut text,
        "variables",
        app.variables.iter().map(|(name, variable)| match &variable.default {
            None => format!("{name} (required)"),
            Some(_) if variable.secret => format!("{name} (secret)"),
            Some(default) => format!("{name} = {default:?}"),
        }),
    );
    section(&mut text, "components", app.components.iter().flat_map(|component| describe(opened, component)));
    text
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Artifact => "Spin artifact",
        Kind::Plain => "plain image",
        Kind::Directory => "directory, not an image yet",
    }
}

fn trigger(trigger: &LockedTrigger) -> String {
    let component = trigger.component().unwrap_or("(no component)");
    let settings = trigger.trigger_config.as_object().into_iter().flatten().filter(|(key, _)| *key != "component");
    let settings: String = settings.map(|(key, value)| format!(", {key} {value}")).collect();
    format!("{} -> {component}{settings}", trigger.trigger_type)
}

/// A component, and indented below it what it may use.
fn describe(opened: &Opened, component: &LockedComponent) -> Vec<String> {
    let mut text = component.id.clone();
    if let Some(wasm) = opened.app.components.get(&component.id) {
        text = format!("{text}: {}, {}", HumanBytes(wasm.size), wasm.digest);
    }
    match opened.app.files.get(&component.id) {
        Some(Files::Tree(tree)) => text = format!("{text}, {} files", tree.files().count()),
        Some(Files::Directory(_)) => text.push_str(", a directory of files"),
        _ => {}
    }
    let lists = [
        ("may call", component.allowed_outbound_hosts()),
        ("key-value stores", component.key_value_stores()),
        ("databases", component.sqlite_databases()),
    ];
    let lists = lists.iter().filter(|(_, list)| !list.is_empty());
    let lists = lists.map(|(name, list)| format!("  {name}: {}", list.join(", ")));
    [text].into_iter().chain(lists).collect()
}

fn section(text: &mut String, title: &str, entries: impl Iterator<Item = String>) {
    let entries: Vec<_> = entries.collect();
    if !entries.is_empty() {
        line(text, 0, title);
        entries.iter().for_each(|entry| line(text, 1, entry));
    }
}

fn line(text: &mut String, depth: usize, content: &str) {
    // Names and descriptions are the image's.
    let _ = writeln!(text, "{}{}", "  ".repeat(depth), one_line(content));
}
