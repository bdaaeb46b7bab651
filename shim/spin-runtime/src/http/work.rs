//! An instance at work on requests, until nothing is left to do.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use ::http::{Request, Response};
use futures::channel::oneshot::{Receiver, Sender};
use tokio::time::{Instant, Sleep, sleep_until};
use wasmtime::Store;
use wasmtime_wasi_http::handler::Proxy;
use wasmtime_wasi_http::p2::bindings as wasi_02;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{WasiBody, WasiHttpView};

use super::serve::serve;
use super::{HttpHandler, report};
use crate::host::HostState;
use crate::instance::Placed;

/// A request, and where its answer goes.
pub(super) struct Job {
    pub(super) request: Request<WasiBody>,
    pub(super) answer: Sender<wasmtime::Result<Response<WasiBody>>>,
}

/// The other end of a job's answer. It is cancelled where the instance fails, and tells of it, before it answers.
pub(super) type Answered = Receiver<wasmtime::Result<Response<WasiBody>>>;

/// An instance, and how many requests it was given.
pub(super) struct Instance {
    pub(super) store: Placed,
    pub(super) exports: Proxy,
    pub(super) requests: usize,
}

/// The instance, and how its work ended.
pub(super) type End = (Instance, wasmtime::Result<()>);

/// An instance at work.
pub(super) struct Work {
    future: Pin<Box<dyn Future<Output = End> + Send>>,
    seat: Arc<Seat>,
    handler: HttpHandler,
}

impl Work {
    /// Gives a job to an instance that does nothing.
    pub(super) fn new(mut instance: Instance, job: Job, handler: HttpHandler) -> Self {
        instance.store.begin_turn();
        let seat = Arc::new(Seat::new());
        let (shared, handling) = (seat.clone(), handler.clone());
        let future = Box::pin(async move {
            let result = match &instance.exports {
                Proxy::P2(exports) => {
                    instance.requests += 1;
                    call(&mut instance.store, exports, job, &shared).await
                }
                Proxy::P3(exports) => {
                    let function = *exports.wasi_http_handler().func_handle().func();
                    serve(&mut instance, function, job, &shared, &handling).await
                }
            };
            (instance, result)
        });
        Self { future, seat, handler }
    }

    /// Works until the instance waits; not to be called again once it is done.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Option<End> {
        match self.future.as_mut().poll(context) {
            Poll::Ready(end) => Some(end),
            Poll::Pending => None,
        }
    }

    /// Works to the end. None: it took too long and was ended, which is told where all requests are answered already.
    pub(super) async fn supervised(mut self) -> Option<End> {
        let mut alarm: Option<Pin<Box<Sleep>>> = None;
        // When it last began or answered a request; as most are done in their first turn, no clock is read before.
        let mut moved = Instant::now();
        poll_fn(move |context| {
            loop {
                if let Some(end) = self.poll(context) {
                    return Poll::Ready(Some(end));
                }
                // Once it waits it is asked again, whether it would take more.
                if self.seat.waited.swap(true, Relaxed) {
                    break;
                }
            }
            let Some(limit) = self.handler.0.timeout else { return Poll::Pending };
            if self.seat.moved.swap(false, Relaxed) {
                moved = Instant::now();
            }
            let Some(deadline) = moved.checked_add(limit) else { return Poll::Pending };
            let alarm = alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if alarm.deadline() != deadline {
                alarm.as_mut().reset(deadline);
            }
            ready!(alarm.as_mut().poll(context));
            if self.seat.answered() {
                let id = self.handler.0.component.id();
                report::say(&format!("component \"{id}\" was ended: it worked on for too long after its answer"));
            }
            Poll::Ready(None)
        })
        .await
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.handler.close(&self.seat);
    }
}

/// Hands a request to a component of WASI 0.2.
async fn call(store: &mut Store<HostState>, exports: &wasi_02::Proxy, job: Job, seat: &Arc<Seat>) -> wasmtime::Result<()> {
    let Job { request, answer } = job;
    let told = seat.clone();
    let mut http = store.data_mut().http();
    let request = http.new_incoming_request(Scheme::Http, request)?;
    let outparam = http.new_response_outparam_from_callback(move |response| {
        told.note(true);
        let _nobody_waits = answer.send(response.map_err(Into::into));
    })?;
    exports.wasi_http_incoming_handler().call_handle(store, request, outparam).await?;
    match seat.answered() {
        true => Ok(()),
        false => Err(wasmtime::format_err!("guest never invoked `response-outparam::set` method")),
    }
}

/// What an instance at work shares with those outside: where it is given one job more, and how far it is.
pub(super) struct Seat {
    taken: Mutex<Taken>,
    /// Whether the pool may give it a job, or has and it is not begun.
    open: AtomicBool,
    /// Whether a request was begun or answered that nobody has noticed yet.
    moved: AtomicBool,
    /// Whether all requests are answered.
    answered: AtomicBool,
    /// Whether it has waited since it was last given a job: until then it may be one that only computes.
    waited: AtomicBool,
}

#[derive(Default)]
struct Taken {
    job: Option<Job>,
    waker: Option<Waker>,
}

impl Seat {
    fn new() -> Self {
        let [open, moved, answered, waited] = [false; 4].map(AtomicBool::new);
        Self { taken: Mutex::default(), open, moved, answered, waited }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a request was begun or answered, after which all are answered or not.
    pub(super) fn note(&self, answered: bool) {
        self.answered.store(answered, Relaxed);
        self.moved.store(true, Relaxed);
    }

    fn answered(&self) -> bool {
        self.answered.load(Relaxed)
    }

    /// Notes that it may be given a job; whether it could already.
    pub(super) fn open(&self) -> bool {
        self.open.swap(true, Relaxed)
    }

    /// Notes that it is given none any more; whether it could be.
    pub(super) fn close(&self) -> bool {
        self.open.swap(false, Relaxed)
    }

    /// Notes that a job was begun.
    pub(super) fn begin(&self) {
        self.close();
        self.waited.store(false, Relaxed);
        self.note(false);
    }

    /// Whether the instance waits for something outside.
    pub(super) fn waits(&self) -> bool {
        self.waited.load(Relaxed)
    }

    /// Gives it one job more.
    pub(super) fn give(&self, job: Job) {
        let mut taken = self.taken();
        taken.job = Some(job);
        if let Some(waker) = taken.waker.take() {
            waker.wake();
        }
    }

    /// Takes back the job it was given and has not begun.
    pub(super) fn take_back(&self) -> Option<Job> {
        self.taken().job.take()
    }

    /// The job it was given; where there is none, it is woken once there is.
    pub(super) fn take(&self, context: &Context<'_>) -> Option<Job> {
        let mut taken = self.taken();
        if taken.job.is_none() {
            taken.waker = Some(context.waker().clone());
        }
        taken.job.take()
    }
}
