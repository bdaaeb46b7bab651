//! From a manifest to a locked app, with the names and the shape that Spin's own locking has.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{FilePatterns, ManifestApp, common::Source, dependency, v2};
use crate::{
    ContentRef, Error, LockedComponent, LockedSource, LockedTrigger,
    app::{COMPONENT_HOST_REQUIREMENTS, SERVICE_CHAINING},
    id::{ComponentId, Label},
    outbound,
};

/// Locks the app, or says why an image can't hold it.
pub(super) fn lock(mut manifest: v2::Manifest) -> Result<ManifestApp, Error> {
    name_triggers(&mut manifest.triggers)?;
    move_inline_components(&mut manifest);
    check_dependencies(&manifest)?;
    let metadata = app_metadata(&manifest);
    let mut locked = ManifestApp::default();
    for (name, variable) in manifest.variables {
        let name = String::from(name);
        let variable = variable.lock(&name)?;
        locked.app.variables.insert(name, variable);
    }
    for (trigger_type, triggers) in manifest.triggers {
        locked.app.triggers.extend(triggers.into_iter().map(|trigger| lock_trigger(&trigger_type, trigger)));
    }
    for (id, component) in manifest.components {
        let (component, files) = lock_component(&id, component)?;
        locked.app.components.push(component);
        if !files.mounts.is_empty() {
            locked.files.insert(id.into(), files);
        }
    }
    locked.app.metadata = metadata;
    if locked.app.components.iter().any(|component| !component.host_requirements.is_empty()) {
        locked.app.spin_lock_version = 1;
        locked.app.must_understand = vec![COMPONENT_HOST_REQUIREMENTS.to_owned()];
    }
    locked.app.check()?;
    Ok(locked)
}

/// Gives each trigger without an id one: `<component>-<type>-trigger`, or `<type>-trigger<n>` where that is taken.
fn name_triggers(triggers: &mut BTreeMap<String, Vec<v2::Trigger>>) -> Result<(), Error> {
    let mut taken = BTreeSet::new();
    for id in triggers.values().flatten().filter_map(|trigger| trigger.id.clone()) {
        if !taken.insert(id.clone()) {
            return Err(Error::DuplicateId { what: "triggers", id });
        }
    }
    for (trigger_type, triggers) in triggers {
        let mut numbers = 1_u64..;
        for trigger in triggers.iter_mut().filter(|trigger| trigger.id.is_none()) {
            let natural = match &trigger.component {
                Some(v2::ComponentSpec::Reference(component)) => Some(format!("{component}-{trigger_type}-trigger")),
                _ => None,
            };
            let numbered = numbers.by_ref().map(|number| format!("{trigger_type}-trigger{number}"));
            trigger.id = natural.into_iter().chain(numbered).find(|id| taken.insert(id.clone()));
        }
    }
    Ok(())
}

/// Moves components written within triggers to the others, under a name made from the trigger's.
fn move_inline_components(manifest: &mut v2::Manifest) {
    let v2::Manifest { triggers, components, .. } = manifest;
    let mut numbers = 1_u64..;
    for trigger in triggers.values_mut().flatten() {
        let natural = trigger.id.as_ref().and_then(|id| ComponentId::try_from(format!("{id}-component")).ok());
        let roles = trigger.components.values_mut().flat_map(|many| &mut many.0);
        let specs: Vec<_> = trigger.component.iter_mut().chain(roles).collect();
        let mut natural = natural.filter(|_| specs.len() == 1);
        for spec in specs {
            let v2::ComponentSpec::Inline(component) = spec else { continue };
            let numbered = numbers.by_ref().filter_map(|number| ComponentId::try_from(format!("inline-component{number}")).ok());
            let id = natural.take().into_iter().chain(numbered).find(|id| !components.contains_key(id));
            let id = id.expect("there are more numbers than components");
            components.insert(id.clone(), (**component).clone());
            *spec = v2::ComponentSpec::Reference(id);
        }
    }
}

fn check_dependencies(manifest: &v2::Manifest) -> Result<(), Error> {
    for (id, component) in &manifest.components {
        let place = || format!("component {:?}", id.as_str());
        dependency::check(id.as_str(), &component.dependencies)?;
        let mut needed = component.dependencies.values().filter_map(|dependency| dependency.component.as_ref());
        if let Some(unknown) = needed.find(|needed| !manifest.components.contains_key(needed)) {
            return Err(Error::UnknownComponent { place: place(), id: unknown.to_string() });
        }
        if !component.dependencies.is_empty() {
            return Err(unsupported_dependencies(place()));
        }
    }
    let dependent = manifest.triggers.values().flatten().find(|trigger| !trigger.dependencies.is_empty());
    match dependent {
        Some(trigger) => Err(unsupported_dependencies(format!("trigger {:?}", trigger.id.as_deref().unwrap_or_default()))),
        None => Ok(()),
    }
}

/// Dependencies are composed into a component's wasm when an app is published, not where it runs.
pub(crate) fn unsupported_dependencies(place: String) -> Error {
    Error::Unsupported {
        place,
        feature: "`dependencies`",
        advice: "compose them into the component's wasm before it is packed, as `spin registry push` does",
    }
}

fn app_metadata(manifest: &v2::Manifest) -> Map<String, Value> {
    let application = &manifest.application;
    let mut metadata = Map::new();
    put_text(&mut metadata, "name", &application.name);
    put_text(&mut metadata, "version", &application.version);
    put_text(&mut metadata, "description", &application.description);
    put_list(&mut metadata, "authors", application.authors.iter());
    metadata.insert("triggers".to_owned(), json!(application.trigger));
    if let (1, Some(only)) = (manifest.triggers.len(), manifest.triggers.keys().next()) {
        // The shape of before there could be several types of triggers, which old hosts read.
        let mut settings = application.trigger.get(only).cloned().unwrap_or_default();
        settings.insert("type".to_owned(), json!(only));
        metadata.insert("trigger".to_owned(), Value::Object(settings));
    }
    metadata
}

fn lock_trigger(trigger_type: &str, trigger: v2::Trigger) -> LockedTrigger {
    let mut config = trigger.config;
    if let Some(component) = trigger.component {
        config.insert("component".to_owned(), reference(component));
    }
    if !trigger.components.is_empty() {
        let roles = trigger.components.into_iter().map(|(role, many)| (role, many.0.into_iter().map(reference).collect()));
        config.insert("components".to_owned(), Value::Object(roles.collect()));
    }
    LockedTrigger {
        id: trigger.id.unwrap_or_default(),
        trigger_type: trigger_type.to_owned(),
        trigger_config: Value::Object(config),
        ..Default::default()
    }
}

fn reference(component: v2::ComponentSpec) -> Value {
    match component {
        v2::ComponentSpec::Reference(id) => String::from(id).into(),
        v2::ComponentSpec::Inline(_) => unreachable!("inline components have been moved to the others"),
    }
}

fn lock_component(id: &ComponentId, component: v2::Component) -> Result<(LockedComponent, FilePatterns), Error> {
    let metadata = component_metadata(id, &component)?;
    let source = lock_source(id, component.source)?;
    let chains = component
        .allowed_outbound_hosts
        .iter()
        .any(|entry| outbound::AllowedHost::parse(entry).is_ok_and(|host| host.is_chaining()));
    let required = chains.then(|| (SERVICE_CHAINING.to_owned(), json!("required")));
    let locked = LockedComponent {
        id: id.as_str().to_owned(),
        metadata,
        source: LockedSource {
            content_type: "application/wasm".to_owned(),
            content: ContentRef { source: Some(source), ..Default::default() },
        },
        env: component.environment,
        config: component.variables.into_iter().map(|(name, text)| (name.into(), text)).collect(),
        host_requirements: required.into_iter().collect(),
        ..Default::default()
    };
    Ok((locked, FilePatterns { mounts: component.files, exclude: component.exclude_files }))
}

fn lock_source(id: &ComponentId, source: Source) -> Result<String, Error> {
    let feature = match source {
        Source::Local(path) => return Ok(path),
        Source::Url => "a source by `url`",
        Source::Registry => "a source from a package registry",
    };
    let place = format!("component {:?}", id.as_str());
    Err(Error::Unsupported { place, feature, advice: "put the wasm file into the image and name its path" })
}

fn component_metadata(id: &ComponentId, component: &v2::Component) -> Result<Map<String, Value>, Error> {
    let place = || format!("`allowed_http_hosts` of component {:?}", id.as_str());
    let converted = outbound::from_http_hosts(&component.allowed_http_hosts)
        .map_err(|error| Error::Invalid { place: place(), reason: error.to_string() })?;
    let mut metadata = Map::new();
    put_text(&mut metadata, "description", &component.description);
    put_list(&mut metadata, "allowed_outbound_hosts", component.allowed_outbound_hosts.iter().chain(&converted));
    put_list(&mut metadata, "key_value_stores", component.key_value_stores.iter().map(Label::as_str));
    put_list(&mut metadata, "databases", component.sqlite_databases.iter().map(Label::as_str));
    put_list(&mut metadata, "ai_models", component.ai_models.iter());
    if let Some(build) = &component.build {
        metadata.insert("build".to_owned(), json!(build));
    }
    Ok(metadata)
}

/// Spin leaves out what is empty.
fn put_text(metadata: &mut Map<String, Value>, key: &str, text: &str) {
    if !text.is_empty() {
        metadata.insert(key.to_owned(), text.into());
    }
}

fn put_list(metadata: &mut Map<String, Value>, key: &str, list: impl Iterator<Item = impl Serialize>) {
    let list: Vec<_> = list.map(|item| json!(item)).collect();
    if !list.is_empty() {
        metadata.insert(key.to_owned(), list.into());
    }
}
