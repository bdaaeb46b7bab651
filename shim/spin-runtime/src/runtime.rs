//! From an app to something that runs: variables resolved, stores found, every component linked. A bad app fails here, readably.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use spin_app::outbound::AllowedHosts;
use spin_app::template::Template;
use spin_app::{LockedApp, LockedComponent, VolumeDirectory};
use wasmtime::Engine;
use wasmtime::component::InstancePre;

use crate::config::RuntimeConfig;
use crate::engine::{self, Abi};
use crate::host::key_value::{self, Stores};
use crate::host::network::Egress;
use crate::host::variables::Variables;
use crate::host::{Guest, HostState, Linker, Services, outbound_http, redis};
use crate::instance::Instances;
use crate::network::{Network, given_file};
use crate::output::Stdio;
use crate::permits::Waiting;
use crate::ticker::Ticker;
use crate::tier::Tier;
use crate::volumes::OpenVolume;
use crate::{Component, EngineSettings, H2cServers, InternalHandler, RuntimeError, precompile};

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
    /// The directories of volumes that components see besides, read-only; by id, where there are some.
    pub volumes: BTreeMap<String, Vec<VolumeDirectory>>,
    /// Where stores without a path of their own keep their files; none: in memory, until the process ends.
    pub state_dir: Option<PathBuf>,
    /// The text of runtime-config.toml.
    pub runtime_config: Option<String>,
    /// The process's environment. Guests never see it: only variables are looked up, and SSL_CERT_FILE.
    pub env: Vec<(String, String)>,
    /// Servers that components' plain HTTP requests reach by HTTP/2.
    pub h2c_servers: H2cServers,
    /// The engine's sizes.
    pub engine: EngineSettings,
    /// Where guests' output goes; none: to the process's stdout and stderr.
    pub stdio: Option<Stdio>,
}

impl Inputs {
    /// An app with nothing around it.
    pub fn new(app: LockedApp) -> Self {
        Self {
            app,
            code: BTreeMap::new(),
            files: BTreeMap::new(),
            volumes: BTreeMap::new(),
            state_dir: None,
            runtime_config: None,
            env: Vec::new(),
            h2c_servers: H2cServers::default(),
            engine: EngineSettings::default(),
            stdio: None,
        }
    }
}

/// An app, ready for its triggers.
pub struct Runtime {
    app: LockedApp,
    components: BTreeMap<String, Arc<Component>>,
    variables: Variables,
    services: Arc<Services>,
    instances: Arc<Instances>,
    network: Arc<Network>,
}

impl Runtime {
    /// Builds it. Nothing is connected to, no store is opened.
    pub async fn build(inputs: Inputs) -> Result<Arc<Self>, RuntimeError> {
        let Inputs { app, code, files, volumes, state_dir, runtime_config, env, h2c_servers, engine: mut settings, stdio } =
            inputs;
        let config = RuntimeConfig::parse(runtime_config.as_deref().unwrap_or_default())?;
        let variables = Variables::resolve(&app, &config.providers, &env)?;
        settings.max_instance_memory = config.max_instance_memory.or(settings.max_instance_memory);
        let services = Arc::new(services(stdio)?);
        let state_dir = config.state_dir.map(PathBuf::from).or(state_dir);
        let network = Arc::new(Network::new(config.outbound_networking.blocked()?, given_file(&env)));
        let servers = redis::Servers::of_operator(network.clone());
        let stores = key_value::open(&config.key_value_stores, state_dir.as_deref(), &servers, settings.memory_limit)?;
        let http = outbound_http::ClientSettings::new(&config.outbound_http, h2c_servers);

        let ticker = Ticker::start().map_err(|error| RuntimeError::Internal(format!("no thread for the epoch: {error}")))?;
        let instances = Arc::new(Instances::new(ticker, &settings));
        let hosts = Arc::new(Hosts { settings, instances: instances.clone(), made: Mutex::default() });
        let build = Build { hosts, instances, variables, stores, services, network, http };
        let components = build.components(&app, code, &Visible { files, volumes })?;
        let Build { instances, variables, services, network, .. } = build;
        Ok(Arc::new(Self { app, components, variables, services, instances, network }))
    }

    /// How many instances work now.
    pub fn at_work(&self) -> usize {
        self.instances.permits().taken()
    }

    /// For how long as many instances as may work at once have worked and none of them has ended,
    /// although a request or a message waits or has waited; none: an instance may begin to work.
    pub fn exhausted_for(&self) -> Option<Duration> {
        self.instances.permits().exhausted_for()
    }

    /// Counts a request that a trigger keeps waiting, as one that waits for an instance, until the result is dropped.
    pub fn begin_to_wait(&self) -> Waiting {
        Waiting::begin(self.instances.permits())
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

    /// For the connections that a trigger makes.
    pub fn network(&self) -> &Arc<Network> {
        &self.network
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

fn opened(code: Code) -> Result<crate::code::Code, RuntimeError> {
    let file = match code {
        Code::Precompiled(file) => file,
        Code::Wasm(wasm) => written(&precompile::precompile(&wasm)?)
            .map_err(|error| RuntimeError::Internal(format!("code can't be written: {error}")))?,
    };
    crate::code::Code::new(file).map_err(|error| unloadable(error.into()))
}

fn unloadable(error: wasmtime::Error) -> RuntimeError {
    RuntimeError::Internal(format!("precompiled code can't be loaded: {error:#}"))
}

fn internal(error: wasmtime::Error) -> RuntimeError {
    RuntimeError::Internal(format!("{error:#}"))
}

fn services(stdio: Option<Stdio>) -> Result<Services, RuntimeError> {
    let stdio = stdio.map_or_else(Stdio::of_process, Ok);
    let stdio = stdio.map_err(|error| RuntimeError::Internal(format!("no stdout or stderr: {error}")))?;
    Ok(Services { stdio, internal: OnceLock::new() })
}

/// What components of one ABI run in.
struct Host {
    engine: Engine,
    linker: Linker,
}

/// Made where a component needs them: most apps need one.
pub(crate) struct Hosts {
    settings: EngineSettings,
    instances: Arc<Instances>,
    made: Mutex<BTreeMap<(Abi, Tier), Arc<Host>>>,
}

impl Hosts {
    /// Loads and links a component for that pool.
    pub(crate) fn link(
        &self,
        code: &crate::code::Code,
        tier: Tier,
        guest: &Guest,
    ) -> Result<InstancePre<HostState>, RuntimeError> {
        let of_guest = |error: RuntimeError| error.of_component(&guest.id);
        let host = self.host(code.abi, tier).map_err(internal).map_err(of_guest)?;
        let component = code.load(&host.engine).map_err(unloadable).map_err(of_guest)?;
        host.linker.link(&component, guest)
    }

    fn host(&self, abi: Abi, tier: Tier) -> wasmtime::Result<Arc<Host>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = made.get(&(abi, tier)) {
            return Ok(host.clone());
        }
        let engine = engine::engine(abi, tier, &self.settings)?;
        let linker = Linker::new(&engine, abi)?;
        self.instances.add(&engine);
        let host = Arc::new(Host { engine, linker });
        made.insert((abi, tier), host.clone());
        Ok(host)
    }
}

/// The files that components see, by their ids.
struct Visible {
    files: BTreeMap<String, PathBuf>,
    volumes: BTreeMap<String, Vec<VolumeDirectory>>,
}

impl Visible {
    /// Opens what a component sees of volumes. Of several at one place the last counts, as for files of the image.
    fn volumes_of(&self, component: &str) -> Result<Vec<OpenVolume>, RuntimeError> {
        let mut open = BTreeMap::new();
        for directory in self.volumes.get(component).into_iter().flatten() {
            let path = || PathBuf::from(format!("/{}", directory.volume)).join(&directory.below);
            match OpenVolume::open(directory) {
                Ok(volume) => drop(open.insert(&directory.guest, volume)),
                Err(source) if directory.is_implied => log::warn!(
                    "component {component:?} does not see {}, which is mounted in the container: {source}; it can see directories",
                    path().display()
                ),
                Err(source) => {
                    return Err(RuntimeError::Volume { component: component.to_owned(), path: path(), source });
                }
            }
        }
        Ok(open.into_values().collect())
    }
}

/// What building one component needs of all.
struct Build {
    hosts: Arc<Hosts>,
    instances: Arc<Instances>,
    variables: Variables,
    stores: Stores,
    services: Arc<Services>,
    network: Arc<Network>,
    http: outbound_http::ClientSettings,
}

impl Build {
    fn components(
        &self,
        app: &LockedApp,
        mut code: BTreeMap<String, Code>,
        visible: &Visible,
    ) -> Result<BTreeMap<String, Arc<Component>>, RuntimeError> {
        let build = |component: &LockedComponent| {
            let id = component.id.clone();
            let code = code.remove(&id).ok_or_else(|| RuntimeError::NoCode { component: id.clone() })?;
            let built = self.component(component, code, visible)?;
            Ok((id, Arc::new(built)))
        };
        app.components.iter().map(build).collect()
    }

    fn component(&self, component: &LockedComponent, code: Code, visible: &Visible) -> Result<Component, RuntimeError> {
        let code = opened(code).map_err(|error| error.of_component(&component.id))?;
        let guest = Arc::new(self.guest(component, visible)?);
        Component::new(code, self.hosts.clone(), guest, self.instances.clone())
    }

    fn guest(&self, component: &LockedComponent, visible: &Visible) -> Result<Guest, RuntimeError> {
        let hosts = component.allowed_outbound_hosts();
        let hosts = hosts.iter().map(|entry| self.variables.fill(&Template::parse(entry)?));
        let hosts = hosts.collect::<Result<Vec<_>, _>>()?;
        let files = visible.files.get(&component.id);
        if let Some(path) = files {
            std::fs::read_dir(path).map_err(|source| RuntimeError::Files {
                component: component.id.clone(),
                path: path.to_owned(),
                source,
            })?;
        }
        let stderr = self.services.stdio.stderr.clone();
        let egress = Egress::new(&component.id, AllowedHosts::parse(&hosts)?, self.network.clone(), stderr);
        let egress = Arc::new(egress);
        Ok(Guest {
            id: component.id.clone(),
            env: component.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            files: files.cloned(),
            volumes: visible.volumes_of(&component.id)?,
            http: outbound_http::Client::new(egress.clone(), self.http.clone()),
            redis: redis::Servers::of_component(egress.clone()),
            egress,
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
