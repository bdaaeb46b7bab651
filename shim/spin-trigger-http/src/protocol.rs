//! The protocol of a connection: HTTP/1 or HTTP/2, detected from the client's first bytes.

use std::convert::Infallible;
use std::io;
use std::mem::{self, MaybeUninit};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use crate::activity::Activity;
use crate::answer::{self, Peer, StreamAnswer};
use crate::app::App;
use crate::body::AnswerBody;
use crate::client_wait::{Awaited, now};
use crate::socket::{Socket, has_input};
use crate::streams::Streams;
use crate::worker::Place;

/// The first bytes of HTTP/2's connection preface. No HTTP/1 request begins with them.
const HTTP2_PREFIX: &[u8; 4] = b"PRI ";

/// How long the server waits before it looks again at a client that has sent less than [`HTTP2_PREFIX`].
const SHORT_READ_DELAY: Duration = Duration::from_millis(5);

/// The longest interval between two HTTP/2 keep-alive pings.
const MAX_PING_INTERVAL: Duration = Duration::from_secs(60);

/// The configured servers of both protocols; each worker has one.
pub(crate) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<Streams>,
}

impl Protocols {
    pub fn new(app: &App) -> Self {
        let settings = &app.settings;
        let mut http1 = http1::Builder::new();
        // The connection's own timer covers the head: it costs less than hyper's, which starts for each request.
        http1.header_read_timeout(None).max_headers(settings.max_headers).max_header_size(settings.max_head);
        http1.max_buf_size(settings.max_head.max(8 << 10));
        let streams = Streams { registry: app.registry.clone(), stall_timeout: settings.stall_timeout };
        let mut http2 = http2::Builder::new(streams);
        http2
            .timer(TokioTimer::new())
            .keep_alive_interval((settings.idle_timeout / 2).min(MAX_PING_INTERVAL))
            .max_header_list_size(u32::try_from(settings.max_head).unwrap_or(u32::MAX))
            .max_concurrent_streams(settings.max_streams)
            .initial_connection_window_size(settings.window)
            .initial_stream_window_size(settings.window)
            .max_send_buf_size(settings.send_buffer);
        Self { http1, http2 }
    }
}

type Io = TokioIo<Socket>;

/// Answers the requests of an HTTP/1 connection.
pub(crate) trait Http1Requests:
    Service<Request<Incoming>, Response = Response<AnswerBody>, Error = Infallible, Future: Send + 'static> + Unpin
{
}

impl<S> Http1Requests for S where
    S: Service<Request<Incoming>, Response = Response<AnswerBody>, Error = Infallible, Future: Send + 'static> + Unpin
{
}

/// Answers the requests of an HTTP/2 connection.
struct Http2Requests(Arc<Peer>);

impl Service<Request<Incoming>> for Http2Requests {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = StreamAnswer;

    fn call(&self, request: Request<Incoming>) -> StreamAnswer {
        answer::answer_stream(self.0.clone(), request)
    }
}

/// An HTTP connection; a future that ends with the connection.
pub(crate) struct HttpConnection<S: Http1Requests> {
    stage: Stage<S>,
    activity: Arc<Activity>,
}

enum Stage<S: Http1Requests> {
    Undetected(Undetected<S>),
    Http1(Pin<Box<http1::Connection<Io, S>>>),
    Http2(Pin<Box<http2::Connection<Io, Http2Requests, Streams>>>),
    Ended,
}

/// A connection whose client has sent nothing yet. It has no buffers, so it takes about 1 KiB.
struct Undetected<S> {
    stream: TcpStream,
    place: Place,
    peer: Arc<Peer>,
    protocols: Arc<Protocols>,
    http1: S,
    /// Runs while the client has sent less than [`HTTP2_PREFIX`].
    delay: Option<Pin<Box<Sleep>>>,
}

impl<S> Undetected<S> {
    /// Waits for the first bytes and returns whether they are HTTP/2's. Fails where the connection ends before.
    fn poll_is_http2(&mut self, activity: &Activity, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            if let Some(delay) = &mut self.delay {
                ready!(delay.as_mut().poll(cx));
                self.delay = None;
            }
            let mut bytes = [MaybeUninit::uninit(); HTTP2_PREFIX.len()];
            let mut bytes = ReadBuf::uninit(&mut bytes);
            let count = ready!(self.stream.poll_peek(cx, &mut bytes))?;
            match bytes.filled() {
                [] => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                bytes if *bytes != HTTP2_PREFIX[..count] => return Poll::Ready(Ok(false)),
                bytes if bytes.len() == HTTP2_PREFIX.len() => return Poll::Ready(Ok(true)),
                _ => {}
            }
            // The socket stays readable while the bytes are only peeked at, so readiness can't wake this task.
            activity.begin_head();
            self.delay = Some(Box::pin(sleep(SHORT_READ_DELAY)));
        }
    }
}

impl<S: Http1Requests> HttpConnection<S> {
    /// `http1` answers the requests of `peer` where it uses HTTP/1.
    pub fn new(stream: TcpStream, place: Place, peer: Arc<Peer>, protocols: Arc<Protocols>, http1: S) -> Self {
        let activity = peer.activity.clone();
        Self { stage: Stage::Undetected(Undetected { stream, place, peer, protocols, http1, delay: None }), activity }
    }

    pub fn is_http2(&self) -> bool {
        matches!(self.stage, Stage::Http2(_))
    }

    /// Whether the kernel has bytes from the client that the runtime has not reported yet. The connection must have been polled since
    /// [`Activity::request_probe`].
    pub fn has_input(&self) -> bool {
        match &self.stage {
            Stage::Undetected(undetected) => has_input(&undetected.stream),
            Stage::Http1(_) | Stage::Http2(_) | Stage::Ended => self.activity.take_probed_input(),
        }
    }

    /// Accepts no more requests and ends once those in work are answered. An HTTP/2 client gets GOAWAY.
    pub fn shut_down(&mut self) {
        match &mut self.stage {
            Stage::Undetected(_) | Stage::Ended => self.stage = Stage::Ended,
            Stage::Http1(connection) => connection.as_mut().graceful_shutdown(),
            Stage::Http2(connection) => connection.as_mut().graceful_shutdown(),
        }
    }

    fn start(undetected: Undetected<S>, is_http2: bool, activity: &Arc<Activity>) -> Stage<S> {
        let Undetected { stream, place, peer, protocols, http1, .. } = undetected;
        let socket = TokioIo::new(Socket::new(stream, is_http2, activity.clone(), peer.app.clone(), place));
        match is_http2 {
            true => {
                // HTTP/2 frames such as SETTINGS, PING and WINDOW_UPDATE are not the start of a request's head.
                activity.wait.start_input(Awaited::FirstRequest, now());
                Stage::Http2(Box::pin(protocols.http2.serve_connection(socket, Http2Requests(peer))))
            }
            false => Stage::Http1(Box::pin(protocols.http1.serve_connection(socket, http1))),
        }
    }
}

impl<S: Http1Requests> Future for HttpConnection<S> {
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        let this = &mut *self;
        loop {
            let detected = match &mut this.stage {
                Stage::Undetected(undetected) => ready!(undetected.poll_is_http2(&this.activity, cx)),
                Stage::Http1(connection) => return connection.as_mut().poll(cx),
                Stage::Http2(connection) => return connection.as_mut().poll(cx),
                Stage::Ended => return Poll::Ready(Ok(())),
            };
            this.stage = match (mem::replace(&mut this.stage, Stage::Ended), detected) {
                (Stage::Undetected(undetected), Ok(is_http2)) => Self::start(undetected, is_http2, &this.activity),
                _ => Stage::Ended,
            };
        }
    }
}
