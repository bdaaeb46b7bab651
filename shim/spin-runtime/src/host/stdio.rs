//! A guest's stdout and stderr, which go to the container's, line by line.
//!
//! Lines of instances that run at once don't mix: a line is held until it is whole, or longer than a
//! pipe takes in one piece. When nobody reads, guests that write wait ([`crate::output`]).

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::output::{MAX_PIECE_BYTES, Output};

/// One output of one instance.
pub(super) struct GuestOutput(Arc<Mutex<Lines>>);

struct Lines {
    output: Output,
    /// The beginning of a line.
    held: Vec<u8>,
}

impl GuestOutput {
    pub(super) fn new(output: &Output) -> Self {
        Self(Arc::new(Mutex::new(Lines { output: output.clone(), held: Vec::new() })))
    }

    fn stream(&self) -> Stream {
        Stream { lines: self.0.clone(), waiting: None }
    }
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.stream())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.stream())
    }
}

impl Lines {
    fn accept(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
        let whole = match self.held.iter().rposition(|&byte| byte == b'\n') {
            Some(end) => end + 1,
            None if self.held.len() >= MAX_PIECE_BYTES => self.held.len(),
            None => return,
        };
        self.output.write(&self.held[..whole]);
        self.held.drain(..whole);
    }
}

impl Drop for Lines {
    /// Writes a last line that has no end.
    fn drop(&mut self) {
        if !self.held.is_empty() {
            self.output.write_last(&self.held);
        }
    }
}

/// A stream that the guest writes to; all streams of an output share its lines.
struct Stream {
    lines: Arc<Mutex<Lines>>,
    /// The wait for room, while there is none.
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl Stream {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn output(&self) -> Output {
        self.lines().output.clone()
    }
}

#[async_trait::async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {
        self.output().wait_for_room().await;
    }
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.lines().accept(&bytes);
        Ok(())
    }

    /// A line is written when it is whole: flushing can't hurry it.
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(self.lines().output.room())
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                ready!(waiting.as_mut().poll(context));
                self.waiting = None;
            }
            let room = self.lines().output.room();
            if room > 0 {
                let taken = bytes.len().min(room);
                self.lines().accept(&bytes[..taken]);
                return Poll::Ready(Ok(taken));
            }
            let output = self.output();
            self.waiting = Some(Box::pin(async move { output.wait_for_room().await }));
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read};

    use super::*;
    use crate::output::Stdio;

    fn pipe() -> (PipeReader, GuestOutput) {
        let (reader, writer) = std::io::pipe().unwrap();
        let stdio = Stdio::to(writer.try_clone().unwrap().into(), writer.into());
        (reader, GuestOutput::new(&stdio.stdout))
    }

    fn read(reader: &mut PipeReader, length: usize) -> String {
        let mut text = vec![0; length];
        reader.read_exact(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_line_is_written_once_it_is_whole() {
        let (mut reader, output) = pipe();
        let stream = output.stream();
        stream.lines().accept(b"one\ntw");
        assert_eq!(stream.lines().held, b"tw");
        stream.lines().accept(b"o\n");
        assert_eq!(read(&mut reader, 8), "one\ntwo\n");
    }

    #[test]
    fn a_last_line_gets_its_end() {
        let (mut reader, output) = pipe();
        output.stream().lines().accept(b"end");
        drop(output);
        assert_eq!(read(&mut reader, 4), "end\n");
    }

    #[test]
    fn a_very_long_line_is_not_held() {
        let (mut reader, output) = pipe();
        let stream = output.stream();
        stream.lines().accept(&[b'x'; MAX_PIECE_BYTES - 1]);
        assert_eq!(stream.lines().held.len(), MAX_PIECE_BYTES - 1);
        stream.lines().accept(b"xx");
        assert!(stream.lines().held.is_empty());
        assert_eq!(read(&mut reader, MAX_PIECE_BYTES + 1).len(), MAX_PIECE_BYTES + 1);
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_makes_the_guest_wait() {
        let (mut reader, output) = pipe();
        let mut stream = output.stream();
        let mut written = 0;
        while let room @ 1.. = stream.check_write().unwrap() {
            assert!(written < 1 << 20, "it is not bounded");
            stream.write(vec![b'\n'; room].into()).unwrap();
            written += room;
        }
        let reading = tokio::task::spawn_blocking(move || read(&mut reader, written).len());
        stream.ready().await;
        assert!(stream.check_write().unwrap() > 0);
        assert_eq!(reading.await.unwrap(), written);
    }
}
