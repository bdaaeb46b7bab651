//! What a connection is doing, so that one that does nothing, or does it too slowly, can be ended.
//!
//! Nothing is timed per request: the connection notes when it last changed what it does, and one timer per connection looks
//! at the notes from time to time.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use crate::busy_poll::BusyPoll;
use crate::settings::Settings;

/// A moment that has not come.
const NEVER: u64 = u64::MAX;

/// How long, and how many bytes of, what nobody wants is still read before a connection is closed.
const DISCARD: (Duration, u64) = (Duration::from_secs(1), 8 << 20);

/// What is sent in pieces and is no longer than this goes out as one: to copy it costs less than the kernel takes for a list of pieces.
const SHORT: usize = 4 << 10;

/// The notes; moments are those of [`now`].
pub(crate) struct Activity {
    /// Requests whose answer has not been sent yet.
    in_work: AtomicUsize,
    /// When the last of them was done.
    idle_since: AtomicU64,
    /// When the first byte of the next head came.
    head_since: AtomicU64,
    /// Since when the client has not taken what it is sent.
    blocked_since: AtomicU64,
    /// The client may be sending what nobody is going to read.
    unread: AtomicBool,
    /// Those of all connections of its worker.
    polling: Arc<BusyPoll>,
}

/// Milliseconds by the clock that costs least to read, twice for each request; it moves with the kernel's ticks, every few milliseconds.
fn now() -> u64 {
    let now = Duration::try_from(clock_gettime(ClockId::MonotonicCoarse)).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(NEVER - 1)
}

/// What is to become of the connection.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Look again after this time.
    Keep(Duration),
    /// Nothing has been asked for a long time: part as friends.
    Retire,
    /// The client is too slow: part at once.
    Cut(&'static str),
}

impl Activity {
    pub fn new(polling: Arc<BusyPoll>) -> Arc<Self> {
        Arc::new(Self {
            in_work: AtomicUsize::new(0),
            idle_since: AtomicU64::new(now()),
            head_since: AtomicU64::new(NEVER),
            blocked_since: AtomicU64::new(NEVER),
            unread: AtomicBool::new(false),
            polling,
        })
    }

    /// Notes that a request's head is complete; the answer holds on to the result.
    pub fn begin(self: &Arc<Self>) -> Request {
        self.in_work.fetch_add(1, Ordering::Relaxed);
        self.polling.begin();
        self.head_since.store(NEVER, Ordering::Relaxed);
        Request(self.clone())
    }

    /// Notes that the client was answered before all it sends was read.
    pub fn leave_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    fn read(&self) {
        if self.in_work.load(Ordering::Relaxed) == 0 && self.head_since.load(Ordering::Relaxed) == NEVER {
            self.head_since.store(now(), Ordering::Relaxed);
        }
    }

    fn wrote(&self, pending: bool) {
        if !pending {
            self.blocked_since.store(NEVER, Ordering::Relaxed);
        } else if self.blocked_since.load(Ordering::Relaxed) == NEVER {
            self.blocked_since.store(now(), Ordering::Relaxed);
        }
    }

    /// Judges the connection by the notes.
    pub fn judge(&self, settings: &Settings) -> Verdict {
        let now = now();
        let since = |moment: &AtomicU64| match moment.load(Ordering::Relaxed) {
            NEVER => None,
            moment => Some(Duration::from_millis(now.saturating_sub(moment))),
        };
        if since(&self.blocked_since).is_some_and(|blocked| blocked >= settings.stall_timeout) {
            return Verdict::Cut("the client takes no more of its answer");
        }
        if self.in_work.load(Ordering::Relaxed) > 0 {
            return Verdict::Keep(settings.head_timeout.min(settings.stall_timeout));
        }
        if since(&self.head_since).is_some_and(|waiting| waiting >= settings.head_timeout) {
            return Verdict::Cut("the client does not finish its request's head");
        }
        let idle = since(&self.idle_since).unwrap_or_default();
        if idle >= settings.idle_timeout {
            return Verdict::Retire;
        }
        Verdict::Keep(settings.head_timeout.min(settings.idle_timeout - idle).max(Duration::from_millis(1)))
    }
}

/// A request in work on a connection, until this is dropped.
pub(crate) struct Request(Arc<Activity>);

impl Drop for Request {
    fn drop(&mut self) {
        self.0.idle_since.store(now(), Ordering::Relaxed);
        self.0.in_work.fetch_sub(1, Ordering::Relaxed);
        self.0.polling.end();
    }
}

/// A stream that notes what happens on it.
pub(crate) struct Watched {
    /// Some until it is dropped.
    stream: Option<TcpStream>,
    activity: Arc<Activity>,
}

impl Watched {
    pub fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self { stream: Some(stream), activity }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

/// Closing a socket with unread bytes resets the connection, and the client would never see the answer that explains why.
impl Drop for Watched {
    fn drop(&mut self) {
        if !self.activity.unread.load(Ordering::Relaxed) {
            return;
        }
        if let (Some(mut stream), Ok(runtime)) = (self.stream.take(), Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(DISCARD.0, async move {
                let _ = stream.shutdown().await;
                let _ = tokio::io::copy(&mut stream.take(DISCARD.1), &mut tokio::io::sink()).await;
            }));
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = self.stream()?.poll_read(cx, buffer);
        if polled.is_ready() {
            self.activity.read();
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = self.stream()?.poll_write(cx, bytes);
        self.activity.wrote(polled.is_pending());
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut whole = [MaybeUninit::uninit(); SHORT];
        let mut whole = ReadBuf::uninit(&mut whole);
        let stream = self.stream()?;
        let polled = match bytes.iter().map(|piece| piece.len()).sum::<usize>() <= SHORT {
            true => {
                bytes.iter().for_each(|piece| whole.put_slice(piece));
                stream.poll_write(cx, whole.filled())
            }
            false => stream.poll_write_vectored(cx, bytes),
        };
        self.activity.wrote(polled.is_pending());
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use tokio::net::TcpListener;

    use super::*;

    fn settings(milliseconds: u64) -> Settings {
        let limit = Duration::from_millis(milliseconds);
        Settings { head_timeout: limit, idle_timeout: limit, stall_timeout: limit, ..Settings::default() }
    }

    fn activity() -> Arc<Activity> {
        Activity::new(Arc::new(BusyPoll::new(Duration::ZERO)))
    }

    #[test]
    fn a_connection_at_work_is_kept_however_long_it_takes() {
        let activity = activity();
        let request = activity.begin();
        assert!(matches!(activity.judge(&settings(0)), Verdict::Keep(_)));
        drop(request);
        assert_eq!(activity.judge(&settings(0)), Verdict::Retire);
    }

    #[test]
    fn a_connection_without_requests_is_retired() {
        let activity = activity();
        assert!(matches!(activity.judge(&settings(60_000)), Verdict::Keep(_)));
        let short = Settings { idle_timeout: Duration::ZERO, ..settings(60_000) };
        assert_eq!(activity.judge(&short), Verdict::Retire);
    }

    #[test]
    fn half_a_head_is_cut_after_its_own_limit() {
        let activity = activity();
        activity.read();
        let short = Settings { head_timeout: Duration::ZERO, ..settings(60_000) };
        assert!(matches!(activity.judge(&short), Verdict::Cut(_)));
        let _request = activity.begin();
        assert!(matches!(activity.judge(&short), Verdict::Keep(_)));
    }

    #[test]
    fn a_client_that_takes_nothing_is_cut() {
        let activity = activity();
        let _request = activity.begin();
        activity.wrote(true);
        let short = Settings { stall_timeout: Duration::ZERO, ..settings(60_000) };
        assert!(matches!(activity.judge(&short), Verdict::Cut(_)));
        activity.wrote(false);
        assert!(matches!(activity.judge(&settings(60_000)), Verdict::Keep(_)));
    }

    #[tokio::test]
    async fn pieces_arrive_in_order_however_many_bytes_they_are() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut client, _) = listener.accept().await.unwrap();
        let mut watched = Watched::new(stream, activity());
        for length in [2, SHORT, SHORT + 1] {
            let pieces = [vec![b'h'; length / 2], vec![b'b'; length - length / 2]];
            let sent = watched.write_vectored(&pieces.each_ref().map(|piece| IoSlice::new(piece))).await.unwrap();
            let mut came = vec![0; length];
            client.read_exact(&mut came).await.unwrap();
            assert_eq!((sent, came), (length, pieces.concat()));
        }
    }
}
