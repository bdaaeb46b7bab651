//! An instance at work on requests, until nothing is left to do or all its callers have left.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ::http::{Request, Response};
use futures::channel::oneshot::{Receiver, Sender};
use wasmtime::Store;
use wasmtime_wasi_http::handler::Proxy;
use wasmtime_wasi_http::p2::bindings as wasi_02;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{WasiBody, WasiHttpView};

use super::limit::Wait;
use super::serve::serve;
use super::session::{Caller, Demand, Session};
use super::{HttpHandler, report};
use crate::host::HostState;
use crate::instance::Placed;
use crate::permits::WorkPermit;

/// How long an instance may compute once no caller waits and some have left: the computing part may be
/// the abandoned one.
const MAX_COMPUTING: Duration = Duration::from_millis(250);

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
    // Dropped in this order: the permit is free once the instance is gone.
    future: Pin<Box<dyn Future<Output = End> + Send>>,
    session: Arc<Session>,
    _permit: WorkPermit,
}

impl Work {
    /// Gives a job to an instance that does nothing.
    pub(super) fn new(mut instance: Instance, job: Job, handler: HttpHandler, depth: u32, permit: WorkPermit) -> (Self, Caller) {
        instance.store.begin_turn();
        instance.store.data_mut().set_depth(depth);
        let (session, caller) = Session::new(handler, depth);
        let shared = session.clone();
        let future = Box::pin(async move {
            let result = match &instance.exports {
                Proxy::P2(exports) => {
                    instance.requests += 1;
                    call(&mut instance.store, exports, job, &shared).await
                }
                Proxy::P3(exports) => {
                    let function = *exports.wasi_http_handler().func_handle().func();
                    serve(&mut instance, function, job, &shared).await
                }
            };
            (instance, result)
        });
        (Self { future, session, _permit: permit }, caller)
    }

    /// The handler that made the instance.
    pub(super) fn handler(&self) -> &HttpHandler {
        &self.session.handler
    }

    /// Works until the instance waits; not to be called again once it is done.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Option<End> {
        match self.future.as_mut().poll(context) {
            Poll::Ready(end) => Some(end),
            Poll::Pending => None,
        }
    }

    /// Works to the end. None: it was ended before, because no caller waits any more.
    pub(super) async fn supervised(mut self) -> Option<End> {
        let mut after = Wait::new(self.session.handler.timeout());
        let mut computed = Duration::ZERO;
        poll_fn(move |context| {
            self.session.task.register(context.waker());
            loop {
                let begun = match self.session.demand() {
                    Demand::Abandoned => return Poll::Ready(None),
                    Demand::PartlyAbandoned if computed >= MAX_COMPUTING => return Poll::Ready(None),
                    Demand::PartlyAbandoned => Some(Instant::now()),
                    Demand::Awaited | Demand::Answered => None,
                };
                if let Some(end) = self.poll(context) {
                    return Poll::Ready(Some(end));
                }
                if let Some(begun) = begun {
                    computed += begun.elapsed();
                }
                // Once it waits it is asked again, whether it would take more.
                if self.session.wait() {
                    break;
                }
            }
            match self.session.demand() {
                Demand::Abandoned => Poll::Ready(None),
                Demand::Awaited => {
                    after.end();
                    Poll::Pending
                }
                demand @ (Demand::Answered | Demand::PartlyAbandoned) => after.poll(context).map(|()| {
                    if demand == Demand::Answered {
                        let id = self.session.handler.component();
                        report::say(&format!(
                            "component \"{id}\" worked for too long after its answer, so its instance was ended"
                        ));
                    }
                    None
                }),
            }
        })
        .await
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.session.handler.close(&self.session);
    }
}

/// Hands a request to a component of WASI 0.2.
async fn call(store: &mut Store<HostState>, exports: &wasi_02::Proxy, job: Job, session: &Arc<Session>) -> wasmtime::Result<()> {
    let Job { request, answer } = job;
    let responding = session.clone();
    let mut http = store.data_mut().http();
    let request = http.new_incoming_request(Scheme::Http, request)?;
    let outparam = http.new_response_outparam_from_callback(move |response| {
        responding.respond();
        let _nobody_waits = answer.send(response.map_err(Into::into));
    })?;
    exports.wasi_http_incoming_handler().call_handle(store, request, outparam).await?;
    match session.has_responded() {
        true => Ok(()),
        false => Err(wasmtime::format_err!("guest never invoked `response-outparam::set` method")),
    }
}
