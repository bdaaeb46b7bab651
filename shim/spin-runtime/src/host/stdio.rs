//! Where a guest's stdout and stderr go: the container's, line by line, and without ever blocking the server.
//!
//! Lines of instances that run at once don't mix: a line is held until it is whole (or longer than a pipe takes at once). A reader that does not
//! read makes the guests that write wait, and nobody else.

use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::AsyncWrite;
use tokio::task::{JoinHandle, spawn_blocking};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// What a pipe takes at once, without mixing it with another's, when it says it is writable (PIPE_BUF).
const ATOMIC: usize = 4096;
/// Bytes a guest may be ahead of the reader before it has to wait.
const AHEAD: usize = 64 << 10;

/// Both outputs of the process.
#[derive(Clone)]
pub(crate) struct Stdio {
    stdout: Arc<OwnedFd>,
    stderr: Arc<OwnedFd>,
}

impl Stdio {
    /// The process's own.
    pub(crate) fn inherit() -> io::Result<Self> {
        let stdout = Arc::new(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self { stdout, stderr: Arc::new(io::stderr().as_fd().try_clone_to_owned()?) })
    }

    pub(super) fn stdout(&self) -> Output {
        Output::new(&self.stdout)
    }

    pub(super) fn stderr(&self) -> Output {
        Output::new(&self.stderr)
    }
}

/// Says one thing of the host's own on stderr, whole where the reader has room for it. The rest of what a reader who has stopped reading has no room
/// for is dropped: a server that serves is worth more than its words.
pub(crate) fn say(text: &str) {
    // Nobody is left to tell when stderr itself is gone.
    let Ok(fd) = io::stderr().as_fd().try_clone_to_owned() else { return };
    say_on(Arc::new(fd), text);
}

fn say_on(fd: Arc<OwnedFd>, text: &str) {
    let mut lines = Lines { fd, held: format!("{text}\n").into_bytes() };
    let _nobody_reads = lines.drain();
    lines.held.clear();
}

/// One output of one instance.
pub(super) struct Output(Arc<Mutex<Lines>>);

struct Lines {
    fd: Arc<OwnedFd>,
    held: Vec<u8>,
}

impl Output {
    fn new(fd: &Arc<OwnedFd>) -> Self {
        Self(Arc::new(Mutex::new(Lines { fd: fd.clone(), held: Vec::new() })))
    }

    fn stream(&self) -> Stream {
        Stream { lines: self.0.clone(), waiting: None }
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.stream())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.stream())
    }
}

impl Lines {
    /// Writes what is whole and what the reader has room for.
    fn drain(&mut self) -> io::Result<()> {
        loop {
            let chunk = chunk(&self.held);
            if chunk == 0 || !writable(&self.fd, false)? {
                return Ok(());
            }
            let written = rustix::io::write(&self.fd, &self.held[..chunk])?;
            self.held.drain(..written);
        }
    }

    fn full(&self) -> bool {
        self.held.len() >= AHEAD
    }
}

/// How much of it to write at once: whole lines as far as they fit, or the start of a longer one; nothing of a line that may yet be whole.
fn chunk(held: &[u8]) -> usize {
    let window = &held[..held.len().min(ATOMIC)];
    match window.iter().rposition(|&byte| byte == b'\n') {
        Some(end) => end + 1,
        None if held.len() >= ATOMIC => ATOMIC,
        None => 0,
    }
}

/// Whether a write of up to [`ATOMIC`] bytes would not block; or waits until it would not.
fn writable(fd: &OwnedFd, wait: bool) -> io::Result<bool> {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut [PollFd::new(fd, PollFlags::OUT)], if wait { None } else { Some(&now) }) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(wait),
        Err(error) => Err(error.into()),
    }
}

impl Drop for Lines {
    /// What is left when the instance ends, a last line without its end among it.
    fn drop(&mut self) {
        if self.held.is_empty() {
            return;
        }
        if self.held.last() != Some(&b'\n') {
            self.held.push(b'\n');
        }
        if self.drain().is_ok() && !self.held.is_empty() && tokio::runtime::Handle::try_current().is_ok() {
            let (fd, held) = (self.fd.clone(), std::mem::take(&mut self.held));
            spawn_blocking(move || io::Write::write_all(&mut Blocking(&fd), &held));
        }
    }
}

struct Blocking<'a>(&'a OwnedFd);

impl io::Write for Blocking<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        writable(self.0, true)?;
        Ok(rustix::io::write(self.0, &bytes[..bytes.len().min(ATOMIC)])?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the guest writes to; all streams of an output share its lines.
struct Stream {
    lines: Arc<Mutex<Lines>>,
    waiting: Option<JoinHandle<io::Result<bool>>>,
}

impl Stream {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut lines = self.lines();
        lines.held.write_all(bytes)?;
        lines.drain()
    }

    /// Ready once there is room for more.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                let waited = ready!(Pin::new(waiting).poll(cx));
                self.waiting = None;
                waited.map_err(io::Error::other)??;
            }
            let mut lines = self.lines();
            lines.drain()?;
            if !lines.full() {
                return Poll::Ready(Ok(()));
            }
            let fd = lines.fd.clone();
            drop(lines);
            self.waiting = Some(spawn_blocking(move || writable(&fd, true)));
        }
    }
}

fn stream_error(error: io::Error) -> StreamError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => StreamError::Closed,
        _ => StreamError::LastOperationFailed(error.into()),
    }
}

#[async_trait::async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {
        // An error shows itself at the next write.
        let _ = std::future::poll_fn(|cx| self.poll_room(cx)).await;
    }
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.accept(&bytes).map_err(stream_error)
    }

    /// A line is written when it is whole: flushing can't hurry it.
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let lines = self.lines();
        Ok(AHEAD.saturating_sub(lines.held.len()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_room(cx))?;
        let bytes = &bytes[..bytes.len().min(AHEAD)];
        self.accept(bytes)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn pipe() -> (std::io::PipeReader, Output) {
        let (reader, writer) = std::io::pipe().unwrap();
        (reader, Output::new(&Arc::new(writer.into())))
    }

    fn rest(mut reader: std::io::PipeReader) -> String {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_line_is_written_once_it_is_whole() {
        let (reader, output) = pipe();
        let mut stream = output.stream();
        stream.accept(b"one\ntw").unwrap();
        assert_eq!(stream.lines().held, b"tw");
        stream.accept(b"o\n").unwrap();
        drop((stream, output));
        assert_eq!(rest(reader), "one\ntwo\n");
    }

    #[test]
    fn a_last_line_gets_its_end() {
        let (reader, output) = pipe();
        output.stream().accept(b"end").unwrap();
        drop(output);
        assert_eq!(rest(reader), "end\n");
    }

    #[test]
    fn the_hosts_own_words_do_not_wait_for_a_reader() {
        let (reader, writer) = std::io::pipe().unwrap();
        let writer = Arc::new(OwnedFd::from(writer));
        (0..1000).for_each(|_| say_on(writer.clone(), &"x".repeat(1000)));
        drop(writer);
        let said = rest(reader);
        assert!(said.lines().count() > 10 && said.lines().all(|line| line.len() == 1000), "{}", said.len());
    }

    #[test]
    fn a_very_long_line_is_not_held() {
        assert_eq!(chunk(&[b'x'; ATOMIC - 1]), 0);
        assert_eq!(chunk(&[b'x'; ATOMIC + 1]), ATOMIC);
        assert_eq!(chunk(b"a\nb\nc"), 4);
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_makes_the_guest_wait() {
        let (reader, output) = pipe();
        let mut stream = output.stream();
        while !stream.lines().full() {
            stream.accept(&[b'\n'; 1000]).unwrap();
        }
        assert_eq!(stream.check_write().unwrap(), 0);
        let reading = tokio::task::spawn_blocking(move || rest(reader));
        stream.ready().await;
        assert!(stream.check_write().unwrap() > 0);
        drop((stream, output));
        assert!(reading.await.unwrap().len() > AHEAD);
    }
}
