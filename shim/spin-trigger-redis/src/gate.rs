//! A stream whose reading can be held back.
//!
//! The Redis client reads whatever comes and queues it without bound. Closing this gate while messages are in work leaves
//! them with the kernel, and so with the server, instead.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Opens and closes the gate.
#[derive(Default)]
pub(crate) struct Gate {
    closed: AtomicBool,
    reader: AtomicWaker,
}

impl Gate {
    pub fn open(&self) {
        if self.closed.swap(false, Ordering::AcqRel) {
            self.reader.wake();
        }
    }

    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    fn poll_open(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.closed.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        self.reader.register(cx.waker());
        // It may have been opened before the waker was in its place.
        if self.closed.load(Ordering::Acquire) { Poll::Pending } else { Poll::Ready(()) }
    }
}

/// The stream behind the gate; writing is never held back.
pub(crate) struct Gated<S> {
    pub stream: S,
    pub gate: Arc<Gate>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Gated<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.gate.poll_open(cx));
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gated<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn nothing_is_read_while_the_gate_is_closed() {
        let (stream, mut other) = tokio::io::duplex(64);
        let gate = Arc::new(Gate::default());
        let mut gated = Gated { stream, gate: gate.clone() };
        gate.close();
        other.write_all(b"x").await.expect("room for a byte");
        assert!(gated.read_u8().now_or_never().is_none());
        gate.open();
        assert_eq!(gated.read_u8().await.expect("a byte"), b'x');
    }
}
