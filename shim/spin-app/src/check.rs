//! What must hold of a locked app before anything is done with it.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::{
    Error, LockedApp, LockedComponent, LockedTrigger,
    app::{COMPONENT_HOST_REQUIREMENTS, HOST_REQUIREMENTS, SERVICE_CHAINING},
    id,
    manifest::unsupported_dependencies,
    outbound::AllowedHost,
    template::Template,
    variables,
};

/// Levels of lists and tables in a setting. The app travels within other JSON, whose reader follows 128 levels.
const MAX_SETTING_LEVELS: usize = 64;
/// A component's metadata that must be lists of strings.
const LISTS: [&str; 4] = ["allowed_outbound_hosts", "key_value_stores", "databases", "ai_models"];

impl LockedApp {
    /// Whether the app is sound in itself and asks nothing of its host that this one does not have.
    pub fn check(&self) -> Result<(), Error> {
        if self.spin_lock_version > 1 {
            return Err(Error::UnknownLockVersion(self.spin_lock_version));
        }
        let known = [HOST_REQUIREMENTS, COMPONENT_HOST_REQUIREMENTS];
        if let Some(unknown) = self.must_understand.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(Error::MustUnderstand(unknown.clone()));
        }
        check_levels(self.metadata.values().chain(self.host_requirements.values()), || "the app".to_owned())?;
        check_host_requirements(&self.host_requirements, || "the app".to_owned())?;
        let components = unique("components", self.components.iter().map(|component| component.id.as_str()))?;
        unique("triggers", self.triggers.iter().map(|trigger| trigger.id.as_str()))?;
        self.components.iter().try_for_each(|component| self.check_component(component))?;
        self.triggers.iter().try_for_each(|trigger| check_trigger(trigger, &components))?;
        variables::check(self)
    }

    fn check_component(&self, component: &LockedComponent) -> Result<(), Error> {
        let place = || format!("component {:?}", component.id);
        id::check_locked("component", &component.id)?;
        check_levels(component.metadata.values().chain(component.host_requirements.values()), place)?;
        check_host_requirements(&component.host_requirements, place)?;
        if !component.dependencies.is_empty() || !component.trigger_dependencies.is_empty() {
            return Err(unsupported_dependencies(place()));
        }
        let content = &component.source.content;
        if content.source.is_none() && content.inline.is_none() && content.digest.is_none() {
            return Err(Error::Invalid {
                place: place(),
                reason: "its `source` says neither where its wasm is nor what it is".to_owned(),
            });
        }
        for key in LISTS {
            check_list(component.metadata.get(key), || format!("`{key}` of component {:?}", component.id))?;
        }
        component.allowed_outbound_hosts().iter().try_for_each(|entry| self.check_allowed_host(component, entry))
    }

    /// An entry with variables can be read only where they have values.
    fn check_allowed_host(&self, component: &LockedComponent, entry: &str) -> Result<(), Error> {
        let place = || format!("`allowed_outbound_hosts` of component {:?}", component.id);
        let explain = |error: Error| Error::Invalid { place: place(), reason: error.to_string() };
        let template = Template::parse(entry).map_err(explain)?;
        if template.is_literal() {
            return AllowedHost::parse(entry).map(|_| ()).map_err(explain);
        }
        variables::check_template(self, &template, place)
    }
}

fn check_trigger(trigger: &LockedTrigger, components: &HashSet<&str>) -> Result<(), Error> {
    let place = || format!("trigger {:?}", trigger.id);
    check_levels([&trigger.trigger_config], place)?;
    if !trigger.trigger_dependencies.is_empty() {
        return Err(unsupported_dependencies(place()));
    }
    if trigger.trigger_config.get("component").is_some_and(|component| !component.is_string()) {
        return Err(Error::Invalid { place: place(), reason: "its `component` is not the id of a component".to_owned() });
    }
    match trigger.component_ids().find(|id| !components.contains(id)) {
        Some(id) => Err(Error::UnknownComponent { place: place(), id: id.to_owned() }),
        None => Ok(()),
    }
}

/// Everything that is not said to be optional is required.
fn check_host_requirements(requirements: &Map<String, Value>, place: impl Fn() -> String) -> Result<(), Error> {
    let unmet = requirements.iter().find(|(feature, need)| *need != "optional" && *feature != SERVICE_CHAINING);
    match unmet {
        Some((feature, _)) => Err(Error::HostRequirement { place: place(), feature: feature.clone() }),
        None => Ok(()),
    }
}

fn check_levels<'a>(settings: impl IntoIterator<Item = &'a Value>, place: impl Fn() -> String) -> Result<(), Error> {
    if settings.into_iter().any(|setting| has_more_levels(setting, MAX_SETTING_LEVELS)) {
        let reason = format!("a setting has lists or tables within each other, more than {MAX_SETTING_LEVELS} levels deep");
        return Err(Error::Invalid { place: place(), reason });
    }
    Ok(())
}

fn has_more_levels(setting: &Value, levels: usize) -> bool {
    match setting {
        Value::Array(items) => levels == 0 || items.iter().any(|item| has_more_levels(item, levels - 1)),
        Value::Object(table) => levels == 0 || table.values().any(|item| has_more_levels(item, levels - 1)),
        _ => false,
    }
}

fn unique<'a>(what: &'static str, ids: impl Iterator<Item = &'a str>) -> Result<HashSet<&'a str>, Error> {
    let mut seen = HashSet::new();
    for id in ids {
        if !seen.insert(id) {
            return Err(Error::DuplicateId { what, id: id.to_owned() });
        }
    }
    Ok(seen)
}

fn check_list(list: Option<&Value>, place: impl Fn() -> String) -> Result<(), Error> {
    let is_sound = match list {
        None => true,
        Some(Value::Array(items)) => items.iter().all(Value::is_string),
        Some(_) => false,
    };
    if is_sound { Ok(()) } else { Err(Error::Invalid { place: place(), reason: "it is not a list of strings".to_owned() }) }
}
