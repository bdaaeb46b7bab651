//! An instance of WASI 0.3: it takes further requests while those it has wait for something.

use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use futures::stream::{FuturesUnordered, Stream};
use wasmtime::AsContextMut;
use wasmtime::component::{Accessor, Func};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::Prepared;

use super::Reuse;
use super::session::Session;
use super::work::{Instance, Job};
use crate::host::HostState;

/// Works on the job, and on those that come meanwhile, until nothing is left to do. `function`: the one that the instance handles requests with.
pub(super) async fn serve(instance: &mut Instance, function: Func, first: Job, session: &Arc<Session>) -> wasmtime::Result<()> {
    let Instance { store, exports, requests } = instance;
    let handler = &session.handler;
    let (exports, Reuse { requests: most, concurrent, .. }) = (&*exports, &handler.0.pool.reuse);
    let work = async |accessor: &Accessor<HostState>| {
        let begin = |job: Job| {
            session.begin();
            let Job { request, answer } = job;
            let prepared =
                accessor.with(|mut access| Prepared::new(access.as_context_mut(), exports, request, HostState::http, answer));
            // The time limit is the caller's matter.
            async move { prepared?.run(accessor, pending()).await }
        };
        let mut running = FuturesUnordered::new();
        running.push(begin(first));
        *requests += 1;
        poll_fn(|context| {
            loop {
                match Pin::new(&mut running).poll_next(context) {
                    Poll::Ready(Some(Ok(_))) => continue,
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(None) | Poll::Pending => {}
                }
                // An abandoned request may go on without end, so its instance takes no further one.
                let room = !session.has_abandoned() && *requests < *most && running.len() < *concurrent;
                if room && accessor.poll_ready_for_concurrent_call(function, context).is_ready() {
                    // Nobody gives it anything before it waits: most are done by then.
                    if session.waits() {
                        handler.0.pool.open(session);
                        if let Some(job) = session.take() {
                            running.push(begin(job));
                            *requests += 1;
                            continue;
                        }
                    }
                } else {
                    handler.close(session);
                }
                return match running.is_empty() && accessor.poll_no_interesting_tasks(context).is_ready() {
                    true => Poll::Ready(Ok(())),
                    false => Poll::Pending,
                };
            }
        })
        .await
    };
    store.run_concurrent(work).await?
}
