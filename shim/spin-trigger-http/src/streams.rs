//! The streams of an HTTP/2 connection. Each is a task, which the server can end by itself.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::Sleep;

use crate::client_wait::{ClientWait, now};
use crate::registry::Registry;

tokio::task_local! {
    static STREAM: Arc<ClientWait>;
}

/// The wait of the stream whose task this is. None outside of such a task.
pub(crate) fn current() -> Option<Arc<ClientWait>> {
    STREAM.try_with(Arc::clone).ok()
}

/// Runs the streams of all connections of a worker.
#[derive(Clone)]
pub(crate) struct Streams {
    pub registry: Arc<Registry>,
    /// How long a client may read nothing of a response.
    pub stall_timeout: Duration,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    /// hyper calls this with the future of each stream. h2 resets a stream whose future is dropped before
    /// the response is complete.
    fn execute(&self, stream: F) {
        let wait = Arc::new(ClientWait::nothing());
        let registered = self.registry.add(&wait, false);
        let stall = Stall { wait: wait.clone(), limit: self.stall_timeout, timer: None };
        tokio::spawn(STREAM.scope(wait.clone(), async move {
            let _registered = registered;
            tokio::select! {
                biased;
                _ = stream => {}
                () = stall => log::debug!("a stream was reset: the client does not read the response"),
                () = evicted(&wait) => log::debug!("a stream was reset: other clients need its resources"),
            }
        }));
    }
}

/// Returns once the stream is to be evicted while the server waits for its client.
async fn evicted(wait: &ClientWait) {
    loop {
        wait.receive().await;
        if wait.longest().is_some() {
            return;
        }
    }
}

/// Ready once the client has read nothing of the response for `limit`. The state of the socket does not
/// show that, because other streams use it too.
struct Stall {
    wait: Arc<ClientWait>,
    limit: Duration,
    /// Runs while the client does not read.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Future for Stall {
    type Output = ();

    /// Polled after each poll of the stream.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(since) = self.wait.output() else {
                self.timer = None;
                return Poll::Pending;
            };
            let left = self.limit.saturating_sub(Duration::from_millis(now().saturating_sub(since)));
            if left.is_zero() {
                return Poll::Ready(());
            }
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(left)));
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            // The timer was set for an earlier piece of the response, or the coarse clock is a little behind it.
            self.timer = None;
        }
    }
}
