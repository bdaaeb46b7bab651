//! HTTP requests into a component: instances, their reuse, their deadlines.
//!
//! A request's first turn is its caller's own: the instance runs within [`HttpHandler::handle`], so that a guest which answers without waiting
//! costs no task and no switch. What has more to do goes on as a task. Either way a short answer is whole when it is handed on.
//!
//! | file | what |
//! |---|---|
//! | [`work`] | an instance at work on requests, until nothing is left to do |
//! | [`serve`] | that of WASI 0.3, which takes further requests while the first ones wait |
//! | [`pool`] | the instances that can be used again, and those that would take more |
//! | [`gather`] | an answer's body, as far as it is there already |

mod gather;
mod pool;
mod serve;
mod work;

use std::future::poll_fn;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::header::HOST;
use ::http::{Request, Response};
use futures::channel::oneshot::{Canceled, channel};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::handler::{ExpirationError, ProxyPre};
pub use wasmtime_wasi_http::{Error as BodyError, WasiBody};

use self::gather::Gathering;
use self::pool::Pool;
use self::work::{Answered, Instance, Job, Seat, Work};
use crate::host::HostState;
use crate::instance::StoreError;
use crate::tier::Tiered;
use crate::{Component, report};

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
pub struct HttpHandler(Arc<Handler>);

struct Handler {
    component: Arc<Component>,
    pre: Tiered<ProxyPre<HostState>>,
    pool: Arc<Pool>,
    timeout: Option<Duration>,
}

impl HttpHandler {
    pub(crate) fn new(component: Arc<Component>, pre: ProxyPre<HostState>, options: HttpOptions) -> Self {
        let reuse = match (&pre, options.reuse) {
            (ProxyPre::P2(_), reuse) => Reuse { concurrent: 1, ..reuse.unwrap_or(Reuse { requests: 1, ..Reuse::default() }) },
            (ProxyPre::P3(_), reuse) => reuse.unwrap_or_default(),
        };
        let pool = Arc::new(Pool::new(component.clone(), reuse));
        Self(Arc::new(Handler { component, pre: Tiered::new(pre), pool, timeout: options.timeout }))
    }

    /// Hands a request to an instance and returns the answer, whose body streams while the instance works on.
    pub async fn handle(&self, request: Request<WasiBody>) -> Result<Response<WasiBody>, HttpError> {
        if request.uri().authority().is_none() && request.headers().get(HOST).is_none() {
            return Err(HttpError::BadRequest);
        }
        let Handler { component, timeout, .. } = &*self.0;
        let deadline = timeout.and_then(|limit| Instant::now().checked_add(limit));
        // Held until there is an answer.
        let _turn = component.instances().turn().await.map_err(|error| {
            report::unasked(component.id(), &error);
            HttpError::Overloaded
        })?;
        let (sender, mut answer) = channel();
        if let Some(mut work) = self.begin(Job { request, answer: sender }).await {
            let alone = component.instances().last_turn();
            let first = poll_fn(|context| Poll::Ready(first_turn(&mut work, &mut answer, context))).await;
            match first.end {
                Some((instance, result)) => {
                    drop(work);
                    self.0.pool.end(instance, result);
                }
                None => self.go_on(work),
            }
            if let Some(response) = first.response {
                if !alone {
                    others_turn().await;
                }
                return response.map_err(|error| self.explain(&error));
            }
        }
        // In a box of its own, as in `begin`: most are answered by now.
        Box::pin(self.later(answer, deadline)).await
    }

    /// Waits for an answer that does not come in the first turn.
    async fn later(&self, answer: Answered, deadline: Option<Instant>) -> Result<Response<WasiBody>, HttpError> {
        let response = match deadline {
            None => answer.await,
            Some(deadline) => timeout_at(deadline, answer).await.unwrap_or_else(|_| Ok(Err(ExpirationError.into()))),
        };
        match response {
            Ok(Ok(response)) => {
                let mut gathering = Gathering::new(response);
                while poll_fn(|context| Poll::Ready(gathering.look(context))).await {
                    // The guest's among them.
                    others_turn().await;
                }
                Ok(gathering.finish())
            }
            Ok(Err(error)) => Err(self.explain(&error)),
            // The instance was ended over this request's time, or over what it has told of.
            Err(Canceled) if deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                Err(self.explain(&ExpirationError.into()))
            }
            Err(Canceled) => Err(HttpError::Failed),
        }
    }

    /// Finds an instance for the job. None: one that works already has it, or the job was told that there is none.
    async fn begin(&self, job: Job) -> Option<Work> {
        if let Some(instance) = self.0.pool.idle() {
            return Some(Work::new(instance, job, self.clone()));
        }
        let job = self.0.pool.offer(job)?;
        // In a box of its own: where instances are used again few requests come here, and all are copied with the room it needs.
        Box::pin(self.make(job)).await
    }

    /// Makes an instance for the job. None: the job was told that there is none.
    async fn make(&self, job: Job) -> Option<Work> {
        match self.instance().await {
            Ok(instance) => Some(Work::new(instance, job, self.clone())),
            Err(error) => {
                let _nobody_waits = job.answer.send(Err(error));
                None
            }
        }
    }

    async fn instance(&self) -> wasmtime::Result<Instance> {
        let Handler { component, pre, .. } = &*self.0;
        let mut store = component.store().await?;
        let tier = store.tier();
        let exports = pre.get(tier, || component.proxy(tier))?.instantiate_async(&mut *store).await?;
        Ok(Instance { store, exports, requests: 0 })
    }

    /// Lets work that is not done in its first turn go on by itself.
    fn go_on(&self, work: Work) {
        let pool = self.0.pool.clone();
        tokio::spawn(async move {
            if let Some((instance, result)) = work.supervised().await {
                pool.end(instance, result);
            }
        });
    }

    /// Gives no more jobs to that instance; what it was given and has not begun is another's.
    fn close(&self, seat: &Arc<Seat>) {
        if !seat.close() {
            return;
        }
        self.0.pool.close(seat);
        if let Some(job) = seat.take_back()
            && let Ok(runtime) = Handle::try_current()
        {
            let handler = self.clone();
            runtime.spawn(async move {
                if let Some(work) = handler.begin(job).await {
                    handler.go_on(work);
                }
            });
        }
    }

    fn explain(&self, error: &wasmtime::Error) -> HttpError {
        let id = self.0.component.id();
        if error.is::<ExpirationError>() {
            let limit = self.0.timeout.unwrap_or_default();
            report::say(&format!("component \"{id}\" was ended: it took longer than {limit:?} over a request"));
            return HttpError::TimedOut;
        }
        if error.is::<StoreError>() {
            report::unasked(id, error);
            return HttpError::Overloaded;
        }
        report::failure(id, error, false);
        HttpError::Failed
    }
}

/// What became of a request in its first turn.
struct FirstTurn {
    /// The instance, where nothing is left to do.
    end: Option<work::End>,
    response: Option<wasmtime::Result<Response<WasiBody>>>,
}

/// Works until the instance waits for something, or is done, or has sent as much as may be kept here.
fn first_turn(work: &mut Work, answer: &mut Answered, context: &mut Context<'_>) -> FirstTurn {
    let mut end = work.poll(context);
    let response = match answer.try_recv() {
        Ok(Some(Ok(response))) => {
            let mut gathering = Gathering::new(response);
            while gathering.look(context) {
                if end.is_none() {
                    end = work.poll(context);
                }
            }
            Some(Ok(gathering.finish()))
        }
        Ok(Some(Err(error))) => Some(Err(error)),
        Ok(None) | Err(Canceled) => None,
    };
    FirstTurn { end, response }
}

/// Lets everything else that is ready on this thread go first: where many requests are in work their guests run in a row and their answers are sent
/// in a row, which is kinder to the caches, and wakes clients less often, than one after the other.
async fn others_turn() {
    let mut asked = false;
    poll_fn(|context| {
        if mem::replace(&mut asked, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
