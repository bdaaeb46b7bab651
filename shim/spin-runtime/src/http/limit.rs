//! A request's time limit: how long its component may work without progress, which is a part of the
//! request's body taken, or a part of the answer sent.
//!
//! Time in which the component waits for its client does not count: the trigger ends clients that
//! neither send nor take anything.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::http::Request;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use super::{BodyError, WasiBody};

/// When the component last took a part of the request's body; none while it waits for more of it.
pub(super) struct Progress(Mutex<Option<Instant>>);

impl Progress {
    fn last(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's body that notes when it is read.
struct Upload {
    body: WasiBody,
    progress: Arc<Progress>,
}

/// Notes from now on when the request's body is read, if it has one.
pub(super) fn watch(request: Request<WasiBody>) -> (Request<WasiBody>, Option<Arc<Progress>>) {
    if request.body().is_end_stream() {
        return (request, None);
    }
    let progress = Arc::new(Progress(Mutex::new(Some(Instant::now()))));
    let upload = |body| Upload { body, progress: progress.clone() }.boxed_unsync();
    (request.map(upload), Some(progress))
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        *self.progress.last() = frame.is_ready().then(Instant::now);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Waits for the head of an answer, or an instance. None: the limit has passed since the call, and since
/// the component last took a part of the request's body.
pub(super) async fn within<T>(
    limit: Option<Duration>,
    progress: Option<&Progress>,
    mut answer: impl Future<Output = T> + Unpin,
) -> Option<T> {
    // Reads no clock if the answer is ready.
    if let Poll::Ready(answer) = futures::poll!(&mut answer) {
        return Some(answer);
    }
    let Some(mut deadline) = limit.and_then(|limit| Instant::now().checked_add(limit)) else { return Some(answer.await) };
    loop {
        if let Ok(answer) = timeout_at(deadline, &mut answer).await {
            return Some(answer);
        }
        let last = progress.map(|progress| progress.last().unwrap_or_else(Instant::now))?;
        deadline = last.checked_add(limit?)?;
        if deadline <= Instant::now() {
            return None;
        }
    }
}

/// A wait with a limit. It begins when it is polled first, and again after [`Wait::end`].
pub(super) struct Wait {
    limit: Option<Duration>,
    since: Option<Instant>,
    /// Made when the first wait begins: most answers need none.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Wait {
    pub(super) fn new(limit: Option<Duration>) -> Self {
        Self { limit, since: None, alarm: None }
    }

    /// Ends the current wait in time.
    pub(super) fn end(&mut self) {
        self.since = None;
    }

    /// Ready once the current wait is longer than the limit.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(limit) = self.limit else { return Poll::Pending };
        let since = *self.since.get_or_insert_with(Instant::now);
        let Some(deadline) = since.checked_add(limit) else { return Poll::Pending };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        ready!(alarm.as_mut().poll(context));
        // An earlier wait set the alarm. To reset it for each part of an answer would cost more.
        if alarm.deadline() < deadline {
            alarm.as_mut().reset(deadline);
            ready!(alarm.as_mut().poll(context));
        }
        Poll::Ready(())
    }
}
