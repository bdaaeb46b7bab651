//! HTTP requests into a component: instances, their reuse, their deadlines.

use std::future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::time::Sleep;
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{
    ExpirationError, HandlerState, Instance, InstantiationError, ProxyHandler, ProxyPre, ShouldAccept, TrapOrPanicError,
    WorkerExpiration, WorkerState, WorkerStatus,
};
pub use wasmtime_wasi_http::{Error as BodyError, WasiBody};

use crate::host::HostState;
use crate::instance::StoreError;
use crate::{Component, report};

/// What the handler says where a component of WASI 0.2 returned, or failed, before it answered.
const NO_ANSWER: &str = "guest never invoked `response-outparam::set` method";

/// How requests are handled.
#[derive(Clone, Debug, Default)]
pub struct HttpOptions {
    /// Until the head of the answer, and again until all work is done; none: without limit.
    pub timeout: Option<Duration>,
    /// How often an instance is used; none: as the component's WASI version has it, 0.2 once, 0.3 by [`Reuse::default`].
    pub reuse: Option<Reuse>,
}

/// How often an instance is used again.
#[derive(Clone, Debug)]
pub struct Reuse {
    /// Requests over its whole life.
    pub requests: usize,
    /// Requests at once; of a component of WASI 0.2 always one.
    pub concurrent: usize,
    /// How long it waits for another request.
    pub idle: Duration,
}

impl Default for Reuse {
    fn default() -> Self {
        Self { requests: 128, concurrent: 16, idle: Duration::from_secs(1) }
    }
}

/// Why there is no answer; what the person needs to know is on stderr already.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HttpError {
    /// The component trapped, ended itself, or did not answer.
    #[error("the component failed")]
    Failed,
    /// The component took too long.
    #[error("the component took too long")]
    TimedOut,
    /// Too many instances, for too long.
    #[error("too many requests are in work")]
    Overloaded,
    /// The request names no host.
    #[error("the request has no host")]
    BadRequest,
}

/// Hands requests to instances of one component, and keeps those that may be used again.
///
/// An instance runs on the tokio runtime whose request made it: with a runtime for each core make a handler for each.
#[derive(Clone)]
pub struct HttpHandler {
    proxy: ProxyHandler<Proxy>,
    timeout: Option<Duration>,
}

impl HttpHandler {
    pub(crate) fn new(component: Arc<Component>, pre: ProxyPre<HostState>, options: HttpOptions) -> Self {
        let reuse = match (&pre, options.reuse) {
            (ProxyPre::P2(_), reuse) => Reuse { concurrent: 1, ..reuse.unwrap_or(Reuse { requests: 1, ..Reuse::default() }) },
            (ProxyPre::P3(_), reuse) => reuse.unwrap_or_default(),
        };
        let timeout = options.timeout;
        Self { proxy: ProxyHandler::new(Proxy { component, pre, reuse, timeout, failures: Arc::default() }), timeout }
    }

    /// Hands a request to an instance and returns the answer, whose body streams while the instance works on.
    pub async fn handle(&self, request: ::http::Request<WasiBody>) -> Result<::http::Response<WasiBody>, HttpError> {
        if request.uri().authority().is_none() && request.headers().get(::http::header::HOST).is_none() {
            return Err(HttpError::BadRequest);
        }
        let component = &self.proxy.state().component;
        let turn = component.instances().turn().await.map_err(|error| {
            report::unasked(component.id(), &error);
            HttpError::Overloaded
        })?;
        let failures = self.proxy.state().failures.load(Relaxed);
        let answer = self.proxy.handle((), request);
        let result = match self.timeout {
            None => answer.await,
            Some(limit) => tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| Err(ExpirationError.into())),
        };
        drop(turn);
        result.map_err(|error| self.explain(&error, failures))
    }

    /// `failures`: how many instances had failed when the request came.
    fn explain(&self, error: &wasmtime::Error, failures: usize) -> HttpError {
        let Proxy { component, failures: now, .. } = self.proxy.state();
        let id = component.id();
        // The instance's end tells of itself; to the request it looks as if there just was no answer.
        let told = error.to_string() == NO_ANSWER && now.load(Relaxed) != failures;
        if told || error.is::<TrapOrPanicError>() {
            return HttpError::Failed;
        }
        if error.is::<ExpirationError>() {
            report::say(&format!(
                "component \"{id}\" was ended: it took longer than {:?} over a request",
                self.timeout.unwrap_or_default()
            ));
            return HttpError::TimedOut;
        }
        let error = match error.downcast_ref::<InstantiationError<()>>() {
            Some(failed) if failed.error.is::<StoreError>() => {
                report::unasked(id, &failed.error);
                return HttpError::Overloaded;
            }
            Some(failed) => &*failed.error,
            None => error,
        };
        report::failure(id, error, false);
        HttpError::Failed
    }
}

struct Proxy {
    component: Arc<Component>,
    pre: ProxyPre<HostState>,
    reuse: Reuse,
    timeout: Option<Duration>,
    /// Instances that failed and told of it.
    failures: Arc<AtomicUsize>,
}

impl HandlerState for Proxy {
    type StoreData = HostState;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<HostState, Expiration, Worker>> {
        let mut store = self.component.instances().store(self.component.guest()).await?;
        let proxy = self.pre.instantiate_async(&mut store).await?;
        let Reuse { requests, concurrent, idle } = self.reuse;
        let (component, failures, timeout) = (self.component.clone(), self.failures.clone(), self.timeout);
        let expiration = Expiration { component: component.clone(), idle, timeout, sleep: None };
        let state = Worker { component, requests, concurrent, timeout, failures };
        Ok(Instance { store, proxy, view: HostState::http, expiration, state })
    }
}

/// When an instance is ended from outside, even while it computes.
struct Expiration {
    component: Arc<Component>,
    idle: Duration,
    timeout: Option<Duration>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl WorkerExpiration for Expiration {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, status: WorkerStatus, start: Instant) -> Poll<()> {
        let limit = match status {
            WorkerStatus::Idle => Some(self.idle),
            WorkerStatus::Requests | WorkerStatus::PostReturn => self.timeout,
        };
        let Some(deadline) = limit.and_then(|limit| start.checked_add(limit)) else { return Poll::Pending };
        let deadline = tokio::time::Instant::from_std(deadline);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        let expired = sleep.as_mut().poll(cx);
        if expired.is_ready() && status == WorkerStatus::PostReturn {
            report::say(&format!("component \"{}\" was ended: it worked on for too long after its answer", self.component.id()));
        }
        expired
    }
}

struct Worker {
    component: Arc<Component>,
    requests: usize,
    concurrent: usize,
    timeout: Option<Duration>,
    failures: Arc<AtomicUsize>,
}

impl WorkerState for Worker {
    type StoreData = HostState;
    type RequestData = ();

    fn should_accept_request(&self, concurrent_count: usize, total_count: usize) -> ShouldAccept {
        if total_count >= self.requests {
            ShouldAccept::Never
        } else if concurrent_count >= self.concurrent {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _store: StoreContextMut<'_, HostState>,
        (): (),
        _task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        match self.timeout {
            Some(timeout) => Box::pin(tokio::time::sleep(timeout)),
            None => Box::pin(future::pending()),
        }
    }

    fn drop(&self, store: Store<HostState>, result: Result<(), wasmtime::Error>) {
        if let Err(error) = result
            && !ended_from_outside(&error)
        {
            self.failures.fetch_add(1, Relaxed);
            report::failure(self.component.id(), &error, store.data().limits.exceeded);
        }
        // Where others wait, the next instance is made soonest in the place that was just used; where nobody does, the answer goes out first.
        if self.component.instances().last_turn()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move { drop(store) });
        }
    }
}

/// Whether nothing failed: the time was up, which is told where that is found, or the tokio runtime the instance lived on is gone, which the
/// handler takes for a panic, though there can be none without a thread that panics.
fn ended_from_outside(error: &wasmtime::Error) -> bool {
    match error.to_string().as_str() {
        "guest timed out" => true,
        "worker panicked" => !std::thread::panicking(),
        _ => false,
    }
}
