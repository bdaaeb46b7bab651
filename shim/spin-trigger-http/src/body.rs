//! The two bodies of an exchange: what a client sends, bounded, and what it is answered.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use spin_runtime::http::{BodyError, WasiBody};
use tokio::time::Sleep;

use crate::app::InWork;
use crate::settings::Settings;
use crate::watch::{Activity, Request};

/// Becomes true once a request's body has outgrown its limit.
pub(crate) type TooBig = Arc<AtomicBool>;

/// A request's body. It fails where it grows beyond its limit, and where the client stops sending for too long.
pub(crate) struct ClientBody {
    inner: Incoming,
    limit: u64,
    taken: u64,
    stall: Duration,
    /// Runs while the client is waited for.
    alarm: Option<Pin<Box<Sleep>>>,
    too_big: TooBig,
    activity: Arc<Activity>,
}

impl ClientBody {
    /// The body for the guest, and where it may be found too big. None: it says itself that it will be.
    pub fn prepare(inner: Incoming, settings: &Settings, activity: &Arc<Activity>) -> Option<(WasiBody, Option<TooBig>)> {
        let (limit, stall) = (settings.max_body, settings.stall_timeout);
        if inner.size_hint().lower() > limit {
            activity.leave_unread();
            return None;
        }
        if inner.is_end_stream() {
            return Some((Empty::new().map_err(|never| match never {}).boxed_unsync(), None));
        }
        let too_big = TooBig::default();
        let body = Self { inner, limit, taken: 0, stall, alarm: None, too_big: too_big.clone(), activity: activity.clone() };
        Some((body.boxed_unsync(), Some(too_big)))
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyError> {
        self.alarm = None;
        let len = frame.data_ref().map_or(0, Bytes::len);
        self.taken = self.taken.saturating_add(len as u64);
        if self.taken <= self.limit {
            return Ok(frame);
        }
        self.too_big.store(true, Ordering::Relaxed);
        Err(BodyError::HttpRequestBodySize(Some(self.limit)))
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        if !self.inner.is_end_stream() {
            self.activity.leave_unread();
        }
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(this.take(frame))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let alarm = this.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep(this.stall)));
                alarm.as_mut().poll(cx).map(|()| Some(Err(BodyError::ConnectionReadTimeout)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A response's body. The request counts as in work until it is dropped.
pub(crate) struct AnswerBody {
    content: Content,
    _in_work: Option<InWork>,
    _request: Option<Request>,
}

enum Content {
    /// The host's own words; none once they are sent.
    Host(Option<Bytes>),
    Guest(WasiBody),
}

impl AnswerBody {
    /// The host's own words.
    pub fn host(content: impl Into<Bytes>) -> Self {
        let content = Some(content.into()).filter(|content| !content.is_empty());
        Self { content: Content::Host(content), _in_work: None, _request: None }
    }

    /// What a guest sends, for as long as it does.
    pub fn guest(body: WasiBody, in_work: InWork) -> Self {
        Self { content: Content::Guest(body), _in_work: Some(in_work), _request: None }
    }

    /// Ties the connection's notion of being busy to this body.
    pub fn of(mut self, request: Request) -> Self {
        self._request = Some(request);
        self
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.content {
            Content::Host(content) => Poll::Ready(content.take().map(|content| Ok(Frame::data(content)))),
            Content::Guest(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Host(content) => content.is_none(),
            Content::Guest(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Host(content) => SizeHint::with_exact(content.as_ref().map_or(0, |content| content.len() as u64)),
            Content::Guest(body) => body.size_hint(),
        }
    }
}
