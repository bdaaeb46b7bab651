//! Version 2 of the manifest, field by field.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use super::{
    FileMount,
    common::{Build, Commands, Source, Variable},
    dependency::{self, Dependency, TriggerDependency},
    forms::{Checked, OneOrMany, TextOr},
};
use crate::id::{ComponentId, Label, VariableName};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    #[serde(rename = "spin_manifest_version")]
    pub(crate) _version: IgnoredAny,
    pub(crate) application: Application,
    #[serde(default)]
    pub(crate) variables: BTreeMap<VariableName, Variable>,
    #[serde(rename = "trigger")]
    pub(crate) triggers: BTreeMap<String, Vec<Trigger>>,
    #[serde(rename = "component", default)]
    pub(crate) components: BTreeMap<ComponentId, Component>,
}

/// `[application]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Application {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) authors: Vec<String>,
    #[serde(default, rename = "targets")]
    pub(crate) _targets: Checked<Vec<TextOr<Target>>>,
    #[serde(default)]
    pub(crate) trigger: BTreeMap<String, Map<String, Value>>,
    #[serde(default, rename = "tool")]
    pub(crate) _tool: Checked<BTreeMap<String, toml::Table>>,
}

/// An environment the app should fit: for the tools that build it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    #[serde(default, rename = "url")]
    _url: Checked<String>,
    #[serde(default, rename = "path")]
    _path: Checked<String>,
}

/// `[[trigger.<type>]]`
#[derive(Clone, Debug, Default)]
pub(crate) struct Trigger {
    pub(crate) id: Option<String>,
    pub(crate) component: Option<ComponentSpec>,
    pub(crate) components: BTreeMap<String, OneOrMany<ComponentSpec>>,
    pub(crate) dependencies: BTreeMap<String, Vec<TriggerDependency>>,
    /// The settings of the trigger's type.
    pub(crate) config: Map<String, Value>,
}

/// Not derived: `#[serde(flatten)]` would lose the line of an error.
impl<'de> Deserialize<'de> for Trigger {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TriggerVisitor)
    }
}

struct TriggerVisitor;

impl<'de> Visitor<'de> for TriggerVisitor {
    type Value = Trigger;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the table of a trigger")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Trigger, A::Error> {
        let mut trigger = Trigger::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "id" => trigger.id = Some(map.next_value()?).filter(|id: &String| !id.is_empty()),
                "component" => trigger.component = Some(map.next_value()?),
                "components" => trigger.components = map.next_value()?,
                "dependencies" => trigger.dependencies = map.next_value()?,
                _ => {
                    let value = map.next_value()?;
                    trigger.config.insert(key, value);
                }
            }
        }
        Ok(trigger)
    }
}

/// A component's id, or the component itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "TextOr<Component>")]
pub(crate) enum ComponentSpec {
    Reference(ComponentId),
    Inline(Box<Component>),
}

impl TryFrom<TextOr<Component>> for ComponentSpec {
    type Error = crate::Error;

    fn try_from(form: TextOr<Component>) -> Result<Self, crate::Error> {
        match form {
            TextOr::Text(id) => ComponentId::try_from(id).map(Self::Reference),
            TextOr::Table(component) => Ok(Self::Inline(Box::new(component))),
        }
    }
}

/// `[component.<id>]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Component {
    pub(crate) source: Source,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) variables: BTreeMap<VariableName, String>,
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) files: Vec<FileMount>,
    #[serde(default)]
    pub(crate) exclude_files: Vec<String>,
    #[serde(default)]
    pub(crate) allowed_http_hosts: Vec<String>,
    #[serde(default)]
    pub(crate) allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    pub(crate) key_value_stores: Vec<Label>,
    #[serde(default)]
    pub(crate) sqlite_databases: Vec<Label>,
    #[serde(default)]
    pub(crate) ai_models: Vec<String>,
    #[serde(default, rename = "targets")]
    pub(crate) _targets: Checked<Vec<TextOr<Target>>>,
    pub(crate) build: Option<Build>,
    #[serde(default, rename = "tool")]
    pub(crate) _tool: Checked<BTreeMap<String, toml::Table>>,
    #[serde(default, rename = "dependencies_inherit_configuration")]
    pub(crate) _dependencies_inherit_configuration: Checked<bool>,
    #[serde(default)]
    pub(crate) dependencies: BTreeMap<dependency::Name, Dependency>,
    /// Other builds of the component: an image has been built already.
    #[serde(default, rename = "profile")]
    pub(crate) _profile: Checked<BTreeMap<String, Profile>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    #[serde(default, rename = "source")]
    _source: Checked<Source>,
    #[serde(default, rename = "environment")]
    _environment: Checked<BTreeMap<String, String>>,
    #[serde(default, rename = "dependencies")]
    _dependencies: Checked<BTreeMap<dependency::Name, Dependency>>,
    #[serde(default, rename = "build")]
    _build: Checked<ProfileBuild>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileBuild {
    #[serde(rename = "command")]
    _command: Checked<Commands>,
}
