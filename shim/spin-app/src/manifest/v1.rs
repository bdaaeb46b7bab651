//! Version 1 of the manifest, which becomes version 2.

use std::collections::BTreeMap;

use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value};

use super::{
    FileMount,
    common::{Build, Source, Variable},
    v2,
};
use crate::{
    Error,
    id::{ComponentId, Label, VariableName},
    outbound,
};

/// What a component without `allowed_outbound_hosts` could always reach in version 1, whatever its `allowed_http_hosts`.
const ALWAYS_ALLOWED: [&str; 3] = ["redis://*:*", "mysql://*:*", "postgres://*:*"];

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    #[serde(rename = "spin_manifest_version", alias = "spin_version")]
    _version: IgnoredAny,
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    authors: Vec<String>,
    trigger: Trigger,
    #[serde(default)]
    variables: BTreeMap<VariableName, Variable>,
    #[serde(rename = "component", default)]
    components: Vec<Component>,
}

#[derive(Clone, Debug, Deserialize)]
struct Trigger {
    #[serde(rename = "type")]
    trigger_type: String,
    #[serde(flatten)]
    config: Map<String, Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Component {
    id: String,
    source: Source,
    trigger: Map<String, Value>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    config: BTreeMap<VariableName, String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    files: Vec<FileMount>,
    #[serde(default)]
    exclude_files: Vec<String>,
    #[serde(default)]
    allowed_http_hosts: Vec<String>,
    allowed_outbound_hosts: Option<Vec<String>>,
    #[serde(default)]
    key_value_stores: Vec<Label>,
    #[serde(default)]
    sqlite_databases: Vec<Label>,
    #[serde(default)]
    ai_models: Vec<String>,
    build: Option<Build>,
}

impl Manifest {
    /// The same app in version 2: each component's trigger becomes one of its own.
    pub(crate) fn into_v2(self) -> Result<v2::Manifest, Error> {
        let mut components = BTreeMap::new();
        let mut triggers = Vec::new();
        for component in self.components {
            let (id, trigger, component) = component.into_v2()?;
            triggers.push(trigger);
            if components.insert(id.clone(), component).is_some() {
                return Err(Error::DuplicateId { what: "components", id: id.into() });
            }
        }
        let Trigger { trigger_type, config } = self.trigger;
        let application = v2::Application {
            name: self.name,
            version: self.version,
            description: self.description,
            authors: self.authors,
            trigger: BTreeMap::from([(trigger_type.clone(), config)]),
            ..Default::default()
        };
        let triggers = BTreeMap::from([(trigger_type, triggers)]);
        Ok(v2::Manifest { _version: IgnoredAny, application, variables: self.variables, triggers, components })
    }
}

impl Component {
    fn into_v2(self) -> Result<(ComponentId, v2::Trigger, v2::Component), Error> {
        let id = ComponentId::from_version_1(&self.id)?;
        let mut allowed_outbound_hosts = match self.allowed_outbound_hosts {
            Some(hosts) => hosts,
            None => ALWAYS_ALLOWED.map(str::to_owned).to_vec(),
        };
        allowed_outbound_hosts.extend(outbound::from_http_hosts(&self.allowed_http_hosts)?);
        let trigger = v2::Trigger {
            id: Some(format!("trigger-{id}")),
            component: Some(v2::ComponentSpec::Reference(id.clone())),
            config: self.trigger,
            ..Default::default()
        };
        let component = v2::Component {
            source: self.source,
            description: self.description,
            variables: self.config,
            environment: self.environment,
            files: self.files,
            exclude_files: self.exclude_files,
            allowed_http_hosts: Vec::new(),
            allowed_outbound_hosts,
            key_value_stores: self.key_value_stores,
            sqlite_databases: self.sqlite_databases,
            ai_models: self.ai_models,
            build: self.build,
            dependencies: BTreeMap::new(),
            _targets: Default::default(),
            _tool: Default::default(),
            _dependencies_inherit_configuration: Default::default(),
            _profile: Default::default(),
        };
        Ok((id, trigger, component))
    }
}
