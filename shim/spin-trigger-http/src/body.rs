//! The two bodies of an exchange: what a client sends, bounded, and what it is answered.

use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use spin_runtime::http::{BodyError, WasiBody};
use tokio::time::Sleep;

use crate::activity::{ActiveRequest, Activity};
use crate::app::InWork;
use crate::client_wait::{Awaited, ClientWait, now};
use crate::memory_budget::Permit;
use crate::settings::Settings;
use crate::streams;

/// Becomes true once a request's body has outgrown its limit.
pub(crate) type TooBig = Arc<AtomicBool>;

/// A request's body. It fails where it grows beyond its limit, and where the client stops sending for too long.
pub(crate) struct ClientBody {
    inner: Incoming,
    limit: u64,
    taken: u64,
    stall: Duration,
    /// Runs while the guest waits for the client.
    timer: Option<Pin<Box<Sleep>>>,
    /// Milliseconds that the guest has waited for the client, less the time that the received bytes take
    /// at [`MIN_BODY_RATE`]. A client that sends one byte at a time is as late as one that sends none.
    late: u64,
    too_big: TooBig,
    activity: Arc<Activity>,
    wait: Arc<ClientWait>,
}

/// Bytes a second. A client that sends less counts as one that the server waits for.
const MIN_BODY_RATE: u64 = 256;

impl ClientBody {
    /// The body for the guest, and the mark that it was too big, where its length is not known before.
    /// None: its `content-length` is beyond the limit.
    pub fn prepare(inner: Incoming, settings: &Settings, activity: &Arc<Activity>) -> Option<(WasiBody, Option<TooBig>)> {
        let (limit, stall) = (settings.max_body, settings.stall_timeout);
        if inner.size_hint().lower() > limit {
            activity.leave_unread();
            return None;
        }
        if inner.is_end_stream() {
            return Some((Empty::new().map_err(|never| match never {}).boxed_unsync(), None));
        }
        let (too_big, activity) = (TooBig::default(), activity.clone());
        let wait = streams::current().unwrap_or_else(|| activity.wait.clone());
        let body = Self { inner, limit, taken: 0, stall, timer: None, late: 0, too_big: too_big.clone(), activity, wait };
        Some((body.boxed_unsync(), Some(too_big)))
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyError> {
        let len = frame.data_ref().map_or(0, Bytes::len) as u64;
        self.stop_waiting(len);
        self.taken = self.taken.saturating_add(len);
        if self.taken <= self.limit {
            return Ok(frame);
        }
        self.too_big.store(true, Ordering::Relaxed);
        Err(BodyError::HttpRequestBodySize(Some(self.limit)))
    }

    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| {
            self.wait.start_input(Awaited::Body, now().saturating_sub(self.late));
            Box::pin(tokio::time::sleep(self.stall))
        });
        timer.as_mut().poll(cx)
    }

    /// Ends the wait for the client, which has sent this many bytes.
    fn stop_waiting(&mut self, bytes: u64) {
        if self.timer.take().is_some()
            && let Some((Awaited::Body, since)) = self.wait.input()
        {
            self.late = now().saturating_sub(since).saturating_sub(bytes * 1000 / MIN_BODY_RATE);
            self.wait.end_body();
        }
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        self.wait.end_body();
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
            Poll::Ready(None) => {
                this.stop_waiting(0);
                Poll::Ready(None)
            }
            Poll::Pending => this.poll_wait(cx).map(|()| Some(Err(BodyError::ConnectionReadTimeout))),
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
    /// Bytes from the guest that hyper has not got yet.
    rest: Bytes,
    /// The length of the piece that hyper got last. Over HTTP/2 hyper holds it until the client's window
    /// has room, and polls for the next piece only then.
    last_piece: usize,
    in_work: Option<(InWork, Option<Permit>)>,
    request: Option<ActiveRequest>,
    /// The HTTP/2 stream that the response belongs to.
    stream: Option<Arc<ClientWait>>,
}

enum Content {
    /// The host's own words; none once they are sent.
    Host(Option<Bytes>),
    Guest(WasiBody),
}

/// A response of at most this many bytes goes to HTTP/2 in one piece, whatever the client's window.
const SMALL_STREAM_RESPONSE_BYTES: usize = 1 << 10;

/// The longest piece of a response that goes to HTTP/2 at once.
const MAX_PIECE_BYTES: usize = 16 << 10;

impl AnswerBody {
    fn new(content: Content) -> Self {
        Self { content, rest: Bytes::new(), last_piece: 0, in_work: None, request: None, stream: None }
    }

    /// The host's own words.
    pub fn host(content: impl Into<Bytes>) -> Self {
        Self::new(Content::Host(Some(content.into()).filter(|content| !content.is_empty())))
    }

    /// What a guest sends, for as long as it does.
    pub fn guest(body: WasiBody) -> Self {
        Self::new(Content::Guest(body))
    }

    /// Counts the request as in work until the response is sent.
    pub fn in_work(mut self, in_work: InWork, work: Option<Permit>) -> Self {
        self.in_work = Some((in_work, work));
        self
    }

    /// Counts the request as one of its connection until the response ends.
    pub fn of(mut self, request: ActiveRequest) -> Self {
        self.request = Some(request);
        self.stream = streams::current();
        self
    }

    /// Cuts the next piece for hyper from `data`. h2 takes a piece as soon as the client's window has room
    /// for one byte of it, and holds the rest. So the pieces are short, and the last byte of a response is
    /// a piece of its own: h2 takes it when the client has room for all bytes before it.
    fn next_piece(&mut self, data: Bytes) -> Bytes {
        if self.stream.is_none() || data.len() <= SMALL_STREAM_RESPONSE_BYTES {
            return data;
        }
        let mut piece = data;
        self.rest = piece.split_off(MAX_PIECE_BYTES.min(piece.len() - 1));
        piece
    }

    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.content {
            Content::Host(content) => Poll::Ready(content.take().map(|content| Ok(Frame::data(content)))),
            Content::Guest(body) => Pin::new(body).poll_frame(cx),
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Some(stream) = &this.stream {
            stream.end_output();
        }
        if let Some(request) = &this.request {
            request.activity().add_unsent(mem::take(&mut this.last_piece));
            ready!(request.activity().poll_send_room(cx));
        }
        let frame = match mem::take(&mut this.rest) {
            rest if rest.is_empty() => match ready!(this.poll_content(cx)).transpose()? {
                None => return Poll::Ready(None),
                Some(frame) => frame,
            },
            rest => Frame::data(rest),
        };
        let data = match frame.into_data() {
            Ok(data) => this.next_piece(data),
            Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
        };
        this.last_piece = data.len();
        if let Some(stream) = &this.stream {
            stream.start_output();
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
            && match &self.content {
                Content::Host(content) => content.is_none(),
                Content::Guest(body) => body.is_end_stream(),
            }
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = match &self.content {
            Content::Host(content) => SizeHint::with_exact(content.as_ref().map_or(0, |content| content.len() as u64)),
            Content::Guest(body) => body.size_hint(),
        };
        let rest = self.rest.len() as u64;
        // The upper bound first: it must never be below the lower one.
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if let (Some((_, Some(work))), Some(request)) = (self.in_work.take(), &self.request) {
            request.activity().add_unsent(self.last_piece);
            request.activity().keep_until_sent(work);
        }
    }
}
