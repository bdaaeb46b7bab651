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

use super::work::{Instance, Job, Seat};
use super::{HttpHandler, Reuse};
use crate::host::HostState;

/// Works on the job, and on those that come meanwhile, until nothing is left to do. `function`: the one that the instance handles requests with.
pub(super) async fn serve(
    instance: &mut Instance,
    function: Func,
    first: Job,
    seat: &Arc<Seat>,
    handler: &HttpHandler,
) -> wasmtime::Result<()> {
    let Instance { store, exports, requests } = instance;
    let (exports, Reuse { requests: most, concurrent, .. }) = (&*exports, &handler.0.pool.reuse);
    let work = async |accessor: &Accessor<HostState>| {
        let begin = |job: Job| {
            seat.begin();
            let Job { request, answer } = job;
            let prepared =
                accessor.with(|mut access| Prepared::new(access.as_context_mut(), exports, request, HostState::http, answer));
            async move {
                let expired = async {
                    match handler.0.timeout {
                        Some(limit) => tokio::time::sleep(limit).await,
                        None => pending().await,
                    }
                };
                prepared?.run(accessor, expired).await
            }
        };
        let mut running = FuturesUnordered::new();
        running.push(begin(first));
        *requests += 1;
        let mut taking = true;
        poll_fn(|context| {
            loop {
                match Pin::new(&mut running).poll_next(context) {
                    Poll::Ready(Some(Ok(answered))) => {
                        // One that takes too long may do so for ever: its instance is given nothing more meanwhile.
                        taking &= answered;
                        seat.note(running.is_empty());
                        continue;
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(None) | Poll::Pending => {}
                }
                let room = taking && *requests < *most && running.len() < *concurrent;
                if room && accessor.poll_ready_for_concurrent_call(function, context).is_ready() {
                    // Nobody gives it anything before it waits: most are done by then.
                    if seat.waits() {
                        handler.0.pool.open(seat);
                        if let Some(job) = seat.take(context) {
                            running.push(begin(job));
                            *requests += 1;
                            continue;
                        }
                    }
                } else {
                    handler.close(seat);
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
