//! A client's socket. It notes reads and writes, and reads no more than the budgets allow.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::ioctl_fionread;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use crate::activity::{Activity, FREE_HEAD_BYTES};
use crate::app::App;
use crate::memory_budget::Permit;
use crate::worker::Place;

/// How long, and how many bytes, the server reads and discards before it closes a connection whose client
/// may still be sending.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_DISCARDED_BYTES: u64 = 8 << 20;

/// Pieces that are no longer than this together are copied and written as one: the copy costs less than a
/// vectored write.
const MAX_COPIED_BYTES: usize = 4 << 10;

/// The step, in KiB, in which a head takes from the budget of heads, and the bytes that may be read for
/// each step. The step is twice as long: hyper's buffer doubles as it grows, and the allocator keeps the
/// smaller ones for a while.
const HEAD_STEP_KIB: u32 = 32;
const HEAD_STEP_BYTES: usize = 16 << 10;

type PendingPermit = Pin<Box<dyn Future<Output = Permit> + Send>>;

/// The socket.
pub(crate) struct Socket {
    /// Some until the drop.
    stream: Option<TcpStream>,
    activity: Arc<Activity>,
    app: Arc<App>,
    place: Option<Place>,
    is_http2: bool,
    /// The places that an HTTP/2 connection takes beside its first.
    http2_places: Option<Permit>,
    /// Some while a read waits for places, or for room for a head.
    pending: Option<PendingPermit>,
}

impl Socket {
    pub fn new(stream: TcpStream, is_http2: bool, activity: Arc<Activity>, app: Arc<App>, place: Place) -> Self {
        let (stream, place) = (Some(stream), Some(place));
        Self { stream, activity, app, place, is_http2, http2_places: None, pending: None }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Waits until bytes may be read, and returns how many.
    fn poll_read_room(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        match (self.is_http2, self.activity.has_request()) {
            (true, _) => self.poll_http2_places(cx).map(|()| usize::MAX),
            (false, true) => Poll::Ready(self.app.settings.send_buffer),
            (false, false) => self.poll_head_room(cx),
        }
    }

    fn poll_http2_places(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let more = self.app.settings.http2_places() - 1;
        if self.http2_places.is_none() && more > 0 {
            let registry = self.app.registry.clone();
            let count = u32::try_from(more).unwrap_or(u32::MAX);
            let permit = ready!(self.poll_take(cx, async move { registry.take(&registry.places, count).await }));
            self.http2_places = Some(permit);
        }
        Poll::Ready(())
    }

    fn poll_head_room(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let read = self.activity.head_bytes();
        if read < FREE_HEAD_BYTES {
            return Poll::Ready(FREE_HEAD_BYTES - read);
        }
        loop {
            let held = self.activity.head_permit_kib() / HEAD_STEP_KIB as usize * HEAD_STEP_BYTES;
            let room = (FREE_HEAD_BYTES + held).saturating_sub(read);
            if room > 0 {
                return Poll::Ready(room);
            }
            let registry = self.app.registry.clone();
            let permit = ready!(self.poll_take(cx, async move { registry.take(&registry.heads, HEAD_STEP_KIB).await }));
            self.activity.add_head_permit(permit);
        }
    }

    fn poll_take(&mut self, cx: &mut Context<'_>, take: impl Future<Output = Permit> + Send + 'static) -> Poll<Permit> {
        let pending = self.pending.get_or_insert_with(|| Box::pin(take));
        let permit = ready!(pending.as_mut().poll(cx));
        self.pending = None;
        Poll::Ready(permit)
    }

    fn note_write(&self, is_pending: bool) {
        match is_pending {
            true => self.activity.wait.start_output(),
            false => self.activity.wait.end_output(),
        }
    }
}

/// A close with unread bytes resets the connection, and the client may lose the response that explains
/// why. So the socket is read for a while before, and it keeps its place meanwhile.
impl Drop for Socket {
    fn drop(&mut self) {
        if !self.activity.has_unread() {
            return;
        }
        let places = (self.place.take(), self.http2_places.take());
        if let (Some(mut stream), Ok(runtime)) = (self.stream.take(), Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(DISCARD_TIMEOUT, async move {
                let _places = places;
                let _ = stream.shutdown().await;
                let _ = tokio::io::copy(&mut stream.take(MAX_DISCARDED_BYTES), &mut tokio::io::sink()).await;
            }));
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let room = ready!(this.poll_read_room(cx));
        let before = buffer.filled().len();
        let polled = match room >= buffer.remaining() {
            true => this.stream()?.poll_read(cx, buffer),
            false => {
                let mut part = ReadBuf::new(buffer.initialize_unfilled_to(room));
                let polled = this.stream()?.poll_read(cx, &mut part);
                let read = part.filled().len();
                buffer.advance(read);
                polled
            }
        };
        match &polled {
            Poll::Ready(Ok(())) if !this.is_http2 => this.activity.add_read(buffer.filled().len() - before),
            Poll::Pending if this.activity.is_probe_requested() && this.stream.as_ref().is_some_and(has_input) => {
                this.activity.note_probed_input();
            }
            _ => {}
        }
        polled
    }
}

/// Whether the kernel has bytes from the client. The runtime may not have reported them yet.
pub(crate) fn has_input(stream: &TcpStream) -> bool {
    ioctl_fionread(stream).is_ok_and(|bytes| bytes > 0)
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = self.stream()?.poll_write(cx, bytes);
        self.note_write(polled.is_pending());
        polled
    }

    /// hyper calls this whenever it has nothing left to write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.activity.flushed();
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut whole = [MaybeUninit::uninit(); MAX_COPIED_BYTES];
        let mut whole = ReadBuf::uninit(&mut whole);
        let stream = self.stream()?;
        let polled = match bytes.iter().map(|piece| piece.len()).sum::<usize>() <= MAX_COPIED_BYTES {
            true => {
                bytes.iter().for_each(|piece| whole.put_slice(piece));
                stream.poll_write(cx, whole.filled())
            }
            false => stream.poll_write_vectored(cx, bytes),
        };
        self.note_write(polled.is_pending());
        polled
    }
}
