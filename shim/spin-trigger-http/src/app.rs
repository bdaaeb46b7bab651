//! The app as the server sees it: its routes, who answers them, and how much is in work.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::uri::Authority;
use spin_runtime::http::{HttpHandler, HttpOptions};
use spin_runtime::{Component, Runtime};

use crate::busy_poll::PollTime;
use crate::config::{self, StaticResponse, Trigger};
use crate::error::Error;
use crate::registry::Registry;
use crate::reserved;
use crate::router::Router;
use crate::settings::Settings;

/// To how many workers a server may grow that began with fewer.
const MAX_WORKERS_OF_RESIZE: usize = 256;

thread_local! {
    /// Which worker this thread is; threads that are none count as the first.
    static WORKER: Cell<usize> = const { Cell::new(0) };
}

/// Makes the current thread that worker.
pub(crate) fn become_worker(index: usize) {
    WORKER.set(index);
}

/// What a route leads to.
#[derive(Debug)]
pub(crate) enum Target {
    /// The component's index.
    Component(usize),
    Static(StaticResponse),
}

/// Everything a connection needs; one for the whole server.
pub(crate) struct App {
    pub router: Router<Target>,
    /// Indices by component id, private components among them.
    pub components: BTreeMap<String, usize>,
    /// Those that routes lead to, by their indices.
    asked: Vec<Arc<Component>>,
    /// By worker, then by component: an instance stays on the runtime that made it. Made for each worker before it begins.
    handlers: Box<[OnceLock<Vec<HttpHandler>>]>,
    /// How long workers look for the next request before they sleep.
    pub busy_poll: Arc<PollTime>,
    runtime: Arc<Runtime>,
    pub info: Bytes,
    /// The server's own address, under which it is reached; set once its port is bound.
    pub authority: OnceLock<Authority>,
    pub settings: Settings,
    in_work: AtomicUsize,
    draining: AtomicBool,
    /// All connections and streams.
    pub registry: Arc<Registry>,
}

impl App {
    pub fn new(runtime: &Arc<Runtime>, settings: Settings) -> Result<Self, Error> {
        let app = runtime.app();
        config::check_app(app.trigger_metadata("http"))?;
        let mut router = Router::new();
        let mut components: Vec<Arc<Component>> = Vec::new();
        let mut indices = BTreeMap::new();
        for trigger in app.triggers_of("http") {
            let Trigger { id, route, target } = Trigger::parse(&trigger.id, &trigger.trigger_config)?;
            let target = match target {
                config::Target::Static(response) => Target::Static(response),
                config::Target::Component(name) => {
                    let component = runtime.component(&name);
                    let component =
                        component.ok_or_else(|| Error::NoSuchComponent { trigger: id.clone(), component: name.clone() })?;
                    Target::Component(*indices.entry(name).or_insert_with(|| {
                        components.push(component.clone());
                        components.len() - 1
                    }))
                }
            };
            add_route(&mut router, &id, route, target)?;
        }
        Ok(Self {
            router,
            components: indices,
            asked: components,
            handlers: (0..settings.workers.max(MAX_WORKERS_OF_RESIZE)).map(|_| OnceLock::new()).collect(),
            busy_poll: Arc::new(PollTime::new(settings.busy_poll)),
            runtime: runtime.clone(),
            info: reserved::info(&app.metadata),
            authority: OnceLock::new(),
            registry: Arc::new(Registry::new(&settings)),
            settings,
            in_work: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
        })
    }

    /// The component's id.
    pub fn component_id(&self, index: usize) -> &str {
        self.components.iter().find(|(_, known)| **known == index).map_or("", |(id, _)| id)
    }

    /// How many workers there can be.
    pub fn max_workers(&self) -> usize {
        self.handlers.len()
    }

    /// Makes the handlers of a worker that is to begin.
    pub fn prepare_worker(&self, index: usize) -> Result<(), Error> {
        let options = || HttpOptions { timeout: self.settings.request_timeout, reuse: self.settings.reuse.clone() };
        let handlers = self.asked.iter().map(|component| component.http_handler(options())).collect::<Result<_, _>>()?;
        // Those of an earlier attempt to start its thread do as well.
        let _there_already = self.handlers[index].set(handlers);
        Ok(())
    }

    /// The component's handler on this thread's runtime.
    pub fn handler(&self, component: usize) -> &HttpHandler {
        let handlers = self.handlers[WORKER.get()].get();
        &handlers.expect("a worker has handlers before it has connections")[component]
    }

    /// Counts a request in, unless too many are in work or waiting already.
    pub fn begin(self: &Arc<Self>) -> Option<InWork> {
        let guard = InWork(self.clone());
        let before = self.in_work.fetch_add(1, Ordering::Relaxed);
        (before < self.settings.max_requests).then_some(guard)
    }

    /// Requests in work and waiting.
    pub fn in_work(&self) -> usize {
        self.in_work.load(Ordering::Relaxed)
    }

    /// Counts a request that waits for its turn, for [`Self::is_stuck`], until the result is dropped.
    pub fn begin_to_wait(&self) -> spin_runtime::Waiting {
        self.runtime.begin_to_wait()
    }

    /// Whether no request can be answered: all instances have worked for [`Settings::stuck_after`], none of
    /// them has become free, and a request has waited.
    pub fn is_stuck(&self) -> bool {
        self.runtime.exhausted_for().is_some_and(|time| time >= self.settings.stuck_after)
    }

    /// From now on the server answers as one that goes away.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the server goes away.
    pub fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// A request that counts as in work until this is dropped.
pub(crate) struct InWork(Arc<App>);

impl Drop for InWork {
    fn drop(&mut self) {
        self.0.in_work.fetch_sub(1, Ordering::Relaxed);
    }
}

fn add_route(router: &mut Router<Target>, trigger: &str, route: Option<String>, target: Target) -> Result<(), Error> {
    let Some(route) = route else { return Ok(()) };
    if format!("/{}", route.trim_start_matches('/')).starts_with(reserved::PREFIX) {
        log::warn!("route '{route}' of HTTP trigger '{trigger}' is never reached: {} belongs to the host", reserved::PREFIX);
    }
    let replaced = router.add(&route, target);
    match replaced.map_err(|reason| Error::Route { trigger: trigger.to_owned(), route: route.clone(), reason })? {
        Some(loser) => {
            log::warn!("route '{}' is given twice: HTTP trigger '{trigger}', the last one, answers it", loser.written())
        }
        None => log::debug!("route '{route}' belongs to HTTP trigger '{trigger}'"),
    }
    Ok(())
}
