//! From an app to something that runs: variables resolved, stores found, every component linked. A bad app fails here, readably.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use spin_app::outbound::AllowedHosts;
use spin_app::template::Template;
use spin_app::{LockedApp, LockedComponent};
use wasmtime::Engine;

use crate::config::RuntimeConfig;
use crate::engine::{self, Abi};
use crate::host::key_value::{self, Stores};
use crate::host::stdio::Stdio;
use crate::host::variables::Variables;
use crate::host::{Guest, Linker, Services, outbound_http, redis};
use crate::instance::Instances;
use crate::ticker::Ticker;
use crate::{Component, EngineSettings, InternalHandler, RuntimeError, code, precompile};

/// The code of a component.
#[derive(Debug)]
pub enum Code {
    /// Made by [`precompile::precompile`] and kept in the node cache ([`crate::cache`]); never from anywhere else.
    Precompiled(File),
    /// WebAssembly as it is in the image, compiled here: for tests and benchmarks.
    Wasm(Vec<u8>),
}

/// Everything an app runs by. Nothing else is read: no environment, no configuration file.
#[derive(Debug)]
pub struct Inputs {
    /// The app.
    pub app: LockedApp,
    /// The code of each component, by id.
    pub code: BTreeMap<String, Code>,
    /// The directory on the host that each component sees as its `/`, read-only; by id, where there is one.
    pub files: BTreeMap<String, PathBuf>,
    /// Where stores without a path of their own keep their files; none: in memory, until the process ends.
    pub state_dir: Option<PathBuf>,
    /// The text of runtime-config.toml.
    pub runtime_config: Option<String>,
    /// The process's environment. Guests never see it: only variables are looked up, and SSL_CERT_FILE.
    pub env: Vec<(String, String)>,
    /// The engine's sizes.
    pub engine: EngineSettings,
}

impl Inputs {
    /// An app with nothing around it.
    pub fn new(app: LockedApp) -> Self {
        Self {
            app,
            code: BTreeMap::new(),
            files: BTreeMap::new(),
            state_dir: None,
            runtime_config: None,
            env: Vec::new(),
            engine: EngineSettings::default(),
        }
    }
}

/// An app, ready for its triggers.
pub struct Runtime {
    app: LockedApp,
    components: BTreeMap<String, Arc<Component>>,
    variables: Variables,
    services: Arc<Services>,
}

impl Runtime {
    /// Builds it. Nothing is connected to, no store is opened.
    pub async fn build(inputs: Inputs) -> Result<Arc<Self>, RuntimeError> {
        let Inputs { app, code, files, state_dir, runtime_config, env, engine: mut settings } = inputs;
        let config = RuntimeConfig::parse(runtime_config.as_deref().unwrap_or_default())?;
        let variables = Variables::resolve(&app, &config.providers, &env)?;
        settings.max_instance_memory = config.max_instance_memory.or(settings.max_instance_memory);
        let services = Arc::new(services(&config, &env)?);
        let state_dir = config.state_dir.map(PathBuf::from).or(state_dir);
        let stores = key_value::open(&config.key_value_stores, state_dir.as_deref(), &services.redis)?;

        let ticker = Ticker::start().map_err(|error| RuntimeError::Internal(format!("no thread for the epoch: {error}")))?;
        let instances = Arc::new(Instances::new(ticker, &settings));
        let build = Build { settings, hosts: Hosts::default(), instances, variables, stores, services };
        let components = build.components(&app, code, &files)?;
        Ok(Arc::new(Self { app, components, variables: build.variables, services: build.services }))
    }

    /// The app as it was given.
    pub fn app(&self) -> &LockedApp {
        &self.app
    }

    /// The component of that id.
    pub fn component(&self, id: &str) -> Option<&Arc<Component>> {
        self.components.get(id)
    }

    /// All components, by id.
    pub fn components(&self) -> impl Iterator<Item = &Arc<Component>> {
        self.components.values()
    }

    /// Fills the app's variables into a text of a trigger's settings.
    pub async fn resolve(&self, template: &str) -> Result<String, RuntimeError> {
        self.variables.fill(&Template::parse(template)?)
    }

    /// Says who answers requests that stay within the app. The first call counts.
    pub fn set_internal(&self, handler: Arc<dyn InternalHandler>) {
        if self.services.internal.set(handler).is_err() {
            log::warn!("requests within the app are answered by the handler set first");
        }
    }
}

fn written(code: &[u8]) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(code)?;
    Ok(file)
}

fn internal(error: wasmtime::Error) -> RuntimeError {
    RuntimeError::Internal(format!("{error:#}"))
}

fn services(config: &RuntimeConfig, env: &[(String, String)]) -> Result<Services, RuntimeError> {
    let certificates = env.iter().find(|(name, value)| name == "SSL_CERT_FILE" && !value.is_empty());
    let certificates = certificates.map(|(_, path)| PathBuf::from(path));
    let stdio = Stdio::inherit().map_err(|error| RuntimeError::Internal(format!("no stdout or stderr: {error}")))?;
    let http = outbound_http::Client::new(&config.outbound_http, certificates);
    Ok(Services { http, redis: redis::Servers::default(), stdio, internal: OnceLock::new() })
}

/// What components of one ABI run in.
struct Host {
    engine: Engine,
    linker: Linker,
}

/// Made where a component needs them: most apps need one.
#[derive(Default)]
struct Hosts {
    synchronous: OnceCell<Host>,
    asynchronous: OnceCell<Host>,
}

/// What building one component needs of all.
struct Build {
    settings: EngineSettings,
    hosts: Hosts,
    instances: Arc<Instances>,
    variables: Variables,
    stores: Stores,
    services: Arc<Services>,
}

impl Build {
    fn components(
        &self,
        app: &LockedApp,
        mut code: BTreeMap<String, Code>,
        files: &BTreeMap<String, PathBuf>,
    ) -> Result<BTreeMap<String, Arc<Component>>, RuntimeError> {
        let build = |component: &LockedComponent| {
            let id = component.id.clone();
            let code = code.remove(&id).ok_or_else(|| RuntimeError::NoCode { component: id.clone() })?;
            let built = self.component(component, code, files.get(&id).map(PathBuf::as_path))?;
            Ok((id, Arc::new(built)))
        };
        app.components.iter().map(build).collect()
    }

    fn component(&self, component: &LockedComponent, code: Code, files: Option<&Path>) -> Result<Component, RuntimeError> {
        let (code, host) = self.load(code).map_err(|error| error.of_component(&component.id))?;
        let guest = Arc::new(self.guest(component, files)?);
        Component::new(&code, &host.linker, guest, self.instances.clone())
    }

    fn load(&self, code: Code) -> Result<(wasmtime::component::Component, &Host), RuntimeError> {
        let file = match code {
            Code::Precompiled(file) => file,
            Code::Wasm(wasm) => written(&precompile::precompile(&wasm)?)
                .map_err(|error| RuntimeError::Internal(format!("code can't be written: {error}")))?,
        };
        let failed = |error: &dyn Display| RuntimeError::Internal(format!("precompiled code can't be loaded: {error:#}"));
        let abi = code::abi(&file).map_err(|error| failed(&error))?.ok_or_else(|| failed(&"it is not marked"))?;
        let host = self.host(abi)?;
        Ok((code::load(&host.engine, file).map_err(|error| failed(&error))?, host))
    }

    fn host(&self, abi: Abi) -> Result<&Host, RuntimeError> {
        let host = match abi {
            Abi::Sync => &self.hosts.synchronous,
            Abi::Async => &self.hosts.asynchronous,
        };
        if let Some(host) = host.get() {
            return Ok(host);
        }
        let engine = engine::engine(abi, &self.settings).map_err(internal)?;
        let linker = Linker::new(&engine, abi).map_err(internal)?;
        self.instances.add(&engine);
        Ok(host.get_or_init(|| Host { engine, linker }))
    }

    fn guest(&self, component: &LockedComponent, files: Option<&Path>) -> Result<Guest, RuntimeError> {
        let hosts = component.allowed_outbound_hosts();
        let hosts = hosts.iter().map(|entry| self.variables.fill(&Template::parse(entry)?));
        let hosts = hosts.collect::<Result<Vec<_>, _>>()?;
        if let Some(path) = files {
            std::fs::read_dir(path).map_err(|source| RuntimeError::Files {
                component: component.id.clone(),
                path: path.to_owned(),
                source,
            })?;
        }
        Ok(Guest {
            id: component.id.clone(),
            env: component.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            files: files.map(Path::to_owned),
            allowed: AllowedHosts::parse(&hosts)?,
            variables: self.variables.of_component(component)?,
            key_value: key_value::of_component(&self.stores, component)?,
            granted: granted(component, &hosts),
            services: self.services.clone(),
        })
    }
}

/// What the manifest grants by name, as [`Guest::granted`] has it.
fn granted(component: &LockedComponent, hosts: &[String]) -> BTreeSet<String> {
    let schemes = hosts.iter().filter_map(|entry| entry.split_once("://")).map(|(scheme, _)| scheme.to_owned());
    let databases = (!component.sqlite_databases().is_empty()).then(|| "sqlite".to_owned());
    let models = (!component.ai_models().is_empty()).then(|| "llm".to_owned());
    schemes.chain(databases).chain(models).collect()
}
