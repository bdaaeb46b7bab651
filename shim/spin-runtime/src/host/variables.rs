//! Variables: where their values come from, and the interfaces a guest asks for its own by.
//!
//! The providers of runtime-config.toml come first, in order, then the environment. All values are known before the app starts, so that a missing
//! one fails there; a value never shows up in a message.

use std::collections::BTreeMap;

use spin_app::{LockedApp, LockedComponent, template::Template};
use wasmtime::component::{Accessor, Linker};

use super::{HostState, Spin};
use crate::RuntimeError;
use crate::config::Provider;

/// The prefix of the environment variables that name variables.
const PREFIX: &str = "SPIN_VARIABLE";

/// A component's variables, resolved.
pub(crate) type Values = BTreeMap<String, String>;

/// The app's variables, resolved.
#[derive(Default)]
pub(crate) struct Variables {
    values: Values,
}

impl Variables {
    /// Asks the providers for every variable of the app.
    pub(crate) fn resolve(app: &LockedApp, providers: &[Provider], env: &[(String, String)]) -> Result<Self, RuntimeError> {
        let env = |name: &str| env.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let mut values = Values::new();
        for (name, variable) in &app.variables {
            let given = providers.iter().find_map(|provider| provider.get(name, &env));
            // The bare name is a convenience of Kubernetes manifests: `REDIS_ADDRESS` for `redis_address`.
            let bare = || bare_name(name).filter(|name| !is_of_a_service(name, &env)).and_then(|name| env(&name));
            let given = given.or_else(|| env(&env_name(PREFIX, name))).or_else(bare);
            match given.or_else(|| variable.default.clone()) {
                Some(value) => values.insert(name.clone(), value),
                None => return Err(RuntimeError::MissingVariable(name.clone(), env_name(PREFIX, name))),
            };
        }
        Ok(Self { values })
    }

    /// The template with the app's values.
    pub(crate) fn fill(&self, template: &Template) -> Result<String, RuntimeError> {
        template.resolve(&mut |name| {
            let unknown = || spin_app::Error::UndeclaredVariable { place: "a template".to_owned(), variable: name.to_owned() };
            self.values.get(name).cloned().ok_or_else(|| unknown().into())
        })
    }

    /// A component's own variables.
    pub(crate) fn of_component(&self, component: &LockedComponent) -> Result<Values, RuntimeError> {
        let templates = spin_app::variables::templates(component)?;
        templates.into_iter().map(|(name, template)| Ok((name, self.fill(&template)?))).collect()
    }
}

/// The bare name of a variable; `None` where every container has a value of that name.
fn bare_name(name: &str) -> Option<String> {
    const OF_EVERY_CONTAINER: [&str; 5] = ["HOME", "HOSTNAME", "PATH", "PWD", "TERM"];
    Some(name.to_uppercase()).filter(|name| !OF_EVERY_CONTAINER.contains(&name.as_str()))
}

/// Whether the value comes from a Service of the pod's namespace rather than from the pod's author: the kubelet adds `REDIS_SERVICE_HOST`,
/// `REDIS_SERVICE_PORT`, `REDIS_PORT=tcp://10.0.0.1:6379` and more for a Service `redis`.
fn is_of_a_service(name: &str, env: &impl Fn(&str) -> Option<String>) -> bool {
    let belongs_to = |end: &str| {
        let service = name.find(end).map(|at| &name[..at]);
        service.is_some_and(|service| env(&format!("{service}_SERVICE_HOST")).is_some())
    };
    let is_address =
        || env(name).is_some_and(|value| ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme)));
    belongs_to("_SERVICE_HOST") || belongs_to("_SERVICE_PORT") || belongs_to("_PORT_") || (belongs_to("_PORT") && is_address())
}

/// `SPIN_VARIABLE_<NAME>`, or with another prefix.
pub(crate) fn env_name(prefix: &str, name: &str) -> String {
    format!("{prefix}_{}", name.to_uppercase())
}

mod bindings {
    #![allow(missing_docs, reason = "generated code")]

    wasmtime::component::bindgen!({ path: "wit", world: "shim:host/variables" });
}

use bindings::fermyon::spin2_0_0::variables as v2;
use bindings::spin::variables::variables as v3;
use bindings::wasi::config::store as config;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    v2::add_to_linker::<_, Spin>(linker, |state| state)?;
    config::add_to_linker::<_, Spin>(linker, |state| state)
}

pub(super) fn link_async(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    v3::add_to_linker::<_, Spin>(linker, |state| state)
}

/// Why there is no value, as both versions of the interface say it.
enum Missing {
    InvalidName(String),
    Undefined(String),
}

impl HostState {
    fn variable(&self, name: &str) -> Result<String, Missing> {
        let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if !name.bytes().all(valid) || !name.starts_with(|first: char| first.is_ascii_lowercase()) {
            return Err(Missing::InvalidName(format!("{name:?} is not the name of a variable")));
        }
        let undefined = || Missing::Undefined(format!("the component has no variable {name:?}"));
        self.guest.variables.get(name).cloned().ok_or_else(undefined)
    }
}

impl v2::Host for HostState {
    fn get(&mut self, name: String) -> Result<String, v2::Error> {
        self.variable(&name).map_err(|missing| match missing {
            Missing::InvalidName(reason) => v2::Error::InvalidName(reason),
            Missing::Undefined(reason) => v2::Error::Undefined(reason),
        })
    }
}

impl v3::Host for HostState {}

impl v3::HostWithStore<HostState> for Spin {
    async fn get(accessor: &Accessor<HostState, Self>, name: String) -> Result<String, v3::Error> {
        let value = accessor.with(|mut access| access.get().variable(&name));
        value.map_err(|missing| match missing {
            Missing::InvalidName(reason) => v3::Error::InvalidName(reason),
            Missing::Undefined(reason) => v3::Error::Undefined(reason),
        })
    }
}

impl config::Host for HostState {
    fn get(&mut self, key: String) -> Result<Option<String>, config::Error> {
        Ok(self.guest.variables.get(&key).cloned())
    }

    fn get_all(&mut self) -> Result<Vec<(String, String)>, config::Error> {
        Ok(self.guest.variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}

#[cfg(test)]
mod tests {
    use spin_app::LockedVariable;

    use super::*;

    fn app(variables: &[(&str, Option<&str>)]) -> LockedApp {
        let variable =
            |default: &Option<&str>| LockedVariable { default: default.map(str::to_owned), ..LockedVariable::default() };
        let variables = variables.iter().map(|(name, default)| ((*name).to_owned(), variable(default))).collect();
        LockedApp { variables, ..LockedApp::default() }
    }

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_missing_variable_is_named_with_what_to_set() {
        let error = Variables::resolve(&app(&[("api_key", None)]), &[], &[]).err().unwrap();
        assert_eq!(error.exit_code(), 66);
        assert!(error.to_string().contains("\"api_key\"") && error.to_string().contains("SPIN_VARIABLE_API_KEY"));
    }

    #[test]
    fn a_provider_comes_before_the_environment_and_that_before_the_default() {
        let config = "[[variables_provider]]\ntype = \"static\"\nvalues = { a = \"provider\" }";
        let providers = crate::config::RuntimeConfig::parse(config).unwrap().providers;
        let app = app(&[("a", Some("default")), ("b", Some("default")), ("c", Some("default")), ("d", None)]);
        let env = env(&[("SPIN_VARIABLE_A", "env"), ("SPIN_VARIABLE_B", "env"), ("D", "bare")]);
        let values = Variables::resolve(&app, &providers, &env).unwrap().values;
        assert_eq!(values.into_values().collect::<Vec<_>>(), ["provider", "env", "default", "bare"]);
    }

    #[test]
    fn what_a_service_or_every_container_sets_is_no_value() {
        let names = ["redis_port", "redis_service_host", "redis_port_6379_tcp_addr", "hostname", "path", "cache_port", "db_port"];
        let app = app(&names.map(|name| (name, Some("default"))));
        let env = env(&[
            ("REDIS_SERVICE_HOST", "10.43.7.1"),
            ("REDIS_SERVICE_PORT", "6379"),
            ("REDIS_PORT", "tcp://10.43.7.1:6379"),
            ("REDIS_PORT_6379_TCP_ADDR", "10.43.7.1"),
            ("HOSTNAME", "pod"),
            ("PATH", "/bin"),
            ("CACHE_PORT", "6380"),
            // The author's own value counts, although there is a Service of that name.
            ("DB_SERVICE_HOST", "10.43.7.2"),
            ("DB_PORT", "5432"),
        ]);
        let values = Variables::resolve(&app, &[], &env).unwrap().values;
        let given: Vec<_> =
            values.iter().filter(|(_, value)| *value != "default").map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(given, [("cache_port", "6380"), ("db_port", "5432")]);
    }

    #[test]
    fn a_component_sees_its_own_names() {
        let variables = Variables::resolve(&app(&[("host", Some("cache"))]), &[], &[]).unwrap();
        let config = [("address".to_owned(), "redis://{{ host }}:6379".to_owned())].into();
        let component = LockedComponent { config, ..LockedComponent::default() };
        assert_eq!(variables.of_component(&component).unwrap()["address"], "redis://cache:6379");
    }
}
