//! HTTP requests into a component: instances, their reuse, their deadlines.
//!
//! A request's first turn is its caller's own: the instance runs within [`HttpHandler::handle`], so that a guest which answers without waiting
//! costs no task and no switch. What has more to do goes on as a task. Either way a short answer is whole when it is handed on.
//!
//! | file | what |
//! |---|---|
//! | [`work`] | an instance at work on requests, until nothing is left to do or all its callers have left |
//! | [`session`] | the callers of an instance at work: which of them wait, and which have left |
//! | [`serve`] | an instance of WASI 0.3, which takes further requests while the first ones wait |
//! | [`pool`] | the instances that can be used again, and those that would take more |
//! | [`gather`] | the body of an answer or of an outbound request, as far as it is there already |
//! | [`limit`] | the time limit of a request |

pub(crate) mod gather;
mod limit;
mod pool;
mod serve;
mod session;
mod work;

use std::future::poll_fn;
use std::mem;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::header::HOST;
use ::http::{Request, Response};
use futures::channel::oneshot::{Canceled, channel};
use wasmtime_wasi_http::handler::ProxyPre;
pub use wasmtime_wasi_http::{Error as BodyError, WasiBody};

use self::gather::Gathering;
use self::limit::Progress;
use self::pool::Pool;
use self::session::{Caller, Session};
use self::work::{Answered, Instance, Job, Work};
use crate::host::HostState;
use crate::instance::StoreError;
use crate::internal::Depth;
use crate::permits::WorkPermit;
use crate::tier::Tiered;
use crate::{Component, report};

/// How requests are handled.
#[derive(Clone, Debug, Default)]
pub struct HttpOptions {
    /// How long the component may work without progress on a request, and how long after its answer
    /// ([`limit`]); none: no limit.
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

    /// Hands a request to an instance and returns the answer, whose body streams while the instance works
    /// on. The work ends if this future, or the answer's body, is dropped before its end.
    pub async fn handle(&self, request: Request<WasiBody>) -> Result<Response<WasiBody>, HttpError> {
        if request.uri().authority().is_none() && request.headers().get(HOST).is_none() {
            return Err(HttpError::BadRequest);
        }
        let depth = Depth::of(&request);
        let permit = self.0.component.instances().acquire_permit(depth).await.map_err(|error| {
            report::unasked(self.component(), &error);
            HttpError::Overloaded
        })?;
        let (request, progress) = match self.timeout() {
            Some(_) => limit::watch(request),
            None => (request, None),
        };
        let asked = Asked { depth, progress };
        match self.ask(&asked, request, permit).await? {
            Asking::Answered(response) => Ok(response),
            Asking::GivenBack(request, permit) => Box::pin(self.ask_again(&asked, request, permit)).await,
        }
    }

    /// Hands a request on until an instance begins it.
    async fn ask_again(
        &self,
        asked: &Asked,
        mut request: Request<WasiBody>,
        mut permit: WorkPermit,
    ) -> Result<Response<WasiBody>, HttpError> {
        loop {
            match self.ask(asked, request, permit).await? {
                Asking::Answered(response) => return Ok(response),
                Asking::GivenBack(back, kept) => (request, permit) = (back, kept),
            }
        }
    }

    async fn ask(&self, asked: &Asked, request: Request<WasiBody>, permit: WorkPermit) -> Result<Asking, HttpError> {
        let (sender, mut answer) = channel();
        match self.begin(Job { request, answer: sender }, asked.depth, permit).await? {
            Begun::Given(caller, permit) => Box::pin(self.later(answer, caller, asked, Some(permit))).await,
            Begun::Alone(mut work, caller) => {
                let alone = self.0.component.instances().permits().taken() <= 1;
                let FirstTurn { end, response } =
                    poll_fn(|context| Poll::Ready(first_turn(&mut work, &mut answer, context))).await;
                match end {
                    Some((instance, result)) => {
                        drop(work);
                        self.0.pool.end(instance, result);
                    }
                    None => go_on(work),
                }
                // In a box of its own, as in `begin`: most are answered by now.
                let Some(response) = response else { return Box::pin(self.later(answer, caller, asked, None)).await };
                if !alone {
                    others_turn().await;
                }
                match response {
                    Ok(gathering) => Ok(Asking::Answered(gathering.finish(caller))),
                    Err(error) => {
                        caller.answered();
                        Err(self.explain(&error))
                    }
                }
            }
        }
    }

    /// Waits for an answer that does not come in the first turn. `permit`: that of a request which was
    /// given to an instance that works already; such an instance has a permit of its own.
    async fn later(
        &self,
        answer: Answered,
        caller: Caller,
        asked: &Asked,
        permit: Option<WorkPermit>,
    ) -> Result<Asking, HttpError> {
        let Some(response) = limit::within(self.timeout(), asked.progress.as_deref(), answer).await else {
            return Err(self.late());
        };
        match response {
            Ok(Ok(response)) => {
                let mut gathering = Gathering::new(response);
                while poll_fn(|context| Poll::Ready(gathering.look(context))).await {
                    // That lets the guest go on too.
                    others_turn().await;
                }
                Ok(Asking::Answered(gathering.finish(caller)))
            }
            Ok(Err(error)) => match (error.downcast::<GivenBack>(), permit) {
                (Ok(GivenBack(request)), Some(permit)) => {
                    caller.given_back();
                    Ok(Asking::GivenBack(request.into_inner().unwrap_or_else(PoisonError::into_inner), permit))
                }
                // Does not occur: an instance begins its first request at once.
                (Ok(_), None) => Err(HttpError::Failed),
                (Err(error), _) => {
                    caller.answered();
                    Err(self.explain(&error))
                }
            },
            Err(Canceled) => Err(HttpError::Failed),
        }
    }

    /// Finds an instance for the job.
    async fn begin(&self, job: Job, depth: u32, permit: WorkPermit) -> Result<Begun, HttpError> {
        if let Some(instance) = self.0.pool.idle() {
            return Ok(Begun::alone(Work::new(instance, job, self.clone(), depth, permit)));
        }
        match self.0.pool.offer(job, depth) {
            Ok(caller) => Ok(Begun::Given(caller, permit)),
            // In a box of its own: where instances are used again few requests come here, and all are copied with the room it needs.
            Err(job) => Box::pin(self.make(job, depth, permit)).await,
        }
    }

    /// Makes an instance for the job.
    async fn make(&self, job: Job, depth: u32, permit: WorkPermit) -> Result<Begun, HttpError> {
        match limit::within(self.timeout(), None, pin!(self.instance())).await {
            Some(Ok(instance)) => Ok(Begun::alone(Work::new(instance, job, self.clone(), depth, permit))),
            Some(Err(error)) => Err(self.explain(&error)),
            None => Err(self.late()),
        }
    }

    async fn instance(&self) -> wasmtime::Result<Instance> {
        let Handler { component, pre, .. } = &*self.0;
        let mut store = component.store().await?;
        let tier = store.tier();
        let exports = pre.get(tier, || component.proxy(tier))?.instantiate_async(&mut *store).await?;
        Ok(Instance { store, exports, requests: 0 })
    }

    /// Gives that instance no further requests, and gives back one that it was given and has not begun.
    fn close(&self, session: &Arc<Session>) {
        if !session.close() {
            return;
        }
        self.0.pool.close(session);
        if let Some(Job { request, answer }) = session.take() {
            let _nobody_waits = answer.send(Err(GivenBack(Mutex::new(request)).into()));
        }
    }

    /// The component's id.
    fn component(&self) -> &str {
        self.0.component.id()
    }

    /// The time limit of the requests.
    fn timeout(&self) -> Option<Duration> {
        self.0.timeout
    }

    /// Reports that a request took too long.
    fn late(&self) -> HttpError {
        let (id, limit) = (self.component(), self.timeout().unwrap_or_default());
        report::say(&format!("component \"{id}\" made no progress on a request for {limit:?}, so the request was ended"));
        HttpError::TimedOut
    }

    fn explain(&self, error: &wasmtime::Error) -> HttpError {
        let id = self.component();
        if error.is::<StoreError>() {
            report::unasked(id, error);
            return HttpError::Overloaded;
        }
        report::failure(id, error, false);
        HttpError::Failed
    }
}

/// What stays with the caller when its request is handed to an instance.
struct Asked {
    depth: u32,
    progress: Option<Arc<Progress>>,
}

/// Which instance has a request now.
enum Begun {
    /// An instance that works on nothing else.
    Alone(Work, Caller),
    /// An instance that worked already and has a permit. This request keeps its own permit until its
    /// caller has the head of the answer.
    Given(Caller, WorkPermit),
}

impl Begun {
    fn alone((work, caller): (Work, Caller)) -> Self {
        Self::Alone(work, caller)
    }
}

/// What became of a request.
enum Asking {
    Answered(Response<WasiBody>),
    /// The instance that the request was given to ended before it began the request.
    GivenBack(Request<WasiBody>, WorkPermit),
}

/// An instance gave the request back without beginning it.
#[derive(Debug, thiserror::Error)]
#[error("the request was given back")]
struct GivenBack(Mutex<Request<WasiBody>>);

/// What became of a request in its first turn.
struct FirstTurn {
    /// The instance, where nothing is left to do.
    end: Option<work::End>,
    response: Option<wasmtime::Result<Gathering>>,
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
            Some(Ok(gathering))
        }
        Ok(Some(Err(error))) => Some(Err(error)),
        Ok(None) | Err(Canceled) => None,
    };
    FirstTurn { end, response }
}

/// Lets work that is not done in its first turn go on as a task.
fn go_on(work: Work) {
    let pool = work.handler().0.pool.clone();
    tokio::spawn(async move {
        if let Some((instance, result)) = work.supervised().await {
            pool.end(instance, result);
        }
    });
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
