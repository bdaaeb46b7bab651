//! The state of a connection that its socket, its requests and its timers share.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::busy_poll::BusyPoll;
use crate::client_wait::{Awaited, ClientWait, now};
use crate::memory_budget::Permit;

/// Bytes of an HTTP/1 head that the budget of heads does not count: hyper's read buffer has this size
/// from the first request on.
pub(crate) const FREE_HEAD_BYTES: usize = 8 << 10;

/// A response of at most this many bytes never waits for the socket, and nothing waits for it.
const SMALL_RESPONSE_BYTES: usize = 4 << 10;

/// Whether the next read that finds nothing asks the kernel for bytes that the runtime has not reported.
const PROBE_NONE: u8 = 0;
const PROBE_REQUESTED: u8 = 1;
const PROBE_FOUND_INPUT: u8 = 2;

/// The state of one connection. All of its users run on one thread, so relaxed atomics are enough.
pub(crate) struct Activity {
    pub wait: Arc<ClientWait>,
    /// Requests whose response has not been sent yet.
    in_work: AtomicUsize,
    /// Bytes read of the next HTTP/1 head. Bytes that arrive while a request is in work don't count.
    head: AtomicUsize,
    /// The part of the budget of heads that the next head holds beyond [`FREE_HEAD_BYTES`].
    head_permit: Mutex<Option<Permit>>,
    /// Bytes of responses that hyper has got since the socket last took everything.
    unsent: AtomicUsize,
    /// Up to this many unsent bytes hyper gets more.
    max_unsent: usize,
    /// What waits for the socket.
    on_flush: Mutex<OnFlush>,
    /// The client may be sending bytes that the server will not read.
    has_unread: AtomicBool,
    /// One of the `PROBE_` constants.
    probe: AtomicU8,
    /// Shared by all connections of a worker.
    polling: Arc<BusyPoll>,
}

impl Activity {
    /// `max_unsent`: bytes of responses that may wait in memory for the socket.
    pub fn new(polling: Arc<BusyPoll>, max_unsent: usize) -> Arc<Self> {
        Arc::new(Self {
            wait: Arc::new(ClientWait::first_request()),
            in_work: AtomicUsize::new(0),
            head: AtomicUsize::new(0),
            head_permit: Mutex::default(),
            unsent: AtomicUsize::new(0),
            max_unsent,
            on_flush: Mutex::default(),
            has_unread: AtomicBool::new(false),
            probe: AtomicU8::new(PROBE_NONE),
            polling,
        })
    }

    /// Starts a request, whose head is complete. It ends when the result is dropped.
    pub fn begin_request(self: &Arc<Self>) -> ActiveRequest {
        self.in_work.fetch_add(1, Ordering::Relaxed);
        self.polling.begin();
        self.wait.end_input();
        let head_permit = match self.head.load(Ordering::Relaxed) > FREE_HEAD_BYTES {
            true => lock(&self.head_permit).take(),
            false => None,
        };
        self.head.store(0, Ordering::Relaxed);
        ActiveRequest { activity: self.clone(), head_permit }
    }

    /// Whether a request is in work.
    pub fn has_request(&self) -> bool {
        self.in_work.load(Ordering::Relaxed) > 0
    }

    /// Notes that the client may send more than the server will read.
    pub fn leave_unread(&self) {
        self.has_unread.store(true, Ordering::Relaxed);
    }

    pub fn has_unread(&self) -> bool {
        self.has_unread.load(Ordering::Relaxed)
    }

    /// Makes the next read that finds nothing ask the kernel for input.
    pub fn request_probe(&self) {
        self.probe.store(PROBE_REQUESTED, Ordering::Relaxed);
    }

    pub fn is_probe_requested(&self) -> bool {
        self.probe.load(Ordering::Relaxed) == PROBE_REQUESTED
    }

    /// Notes that the kernel has input.
    pub fn note_probed_input(&self) {
        self.probe.store(PROBE_FOUND_INPUT, Ordering::Relaxed);
    }

    /// Whether the probe has found input. Ends the probe.
    pub fn take_probed_input(&self) -> bool {
        self.probe.swap(PROBE_NONE, Ordering::Relaxed) == PROBE_FOUND_INPUT
    }

    /// Notes bytes that were read over HTTP/1. Without a request in work they belong to a head.
    pub fn add_read(&self, bytes: usize) {
        if self.has_request() || bytes == 0 {
            return;
        }
        self.head.store(self.head.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
        self.begin_head();
    }

    /// Starts the wait for the rest of a head. A wait that has started before goes on.
    pub fn begin_head(&self) {
        if !matches!(self.wait.input(), Some((Awaited::Head, _))) {
            self.wait.start_input(Awaited::Head, now());
        }
    }

    /// Bytes read of the next head.
    pub fn head_bytes(&self) -> usize {
        self.head.load(Ordering::Relaxed)
    }

    /// KiB that the next head holds of the budget of heads.
    pub fn head_permit_kib(&self) -> usize {
        lock(&self.head_permit).as_ref().map_or(0, Permit::num_permits)
    }

    /// Adds to what the next head holds of the budget of heads.
    pub fn add_head_permit(&self, more: Permit) {
        let mut held = lock(&self.head_permit);
        match held.as_mut() {
            Some(held) => held.merge(more),
            None => *held = Some(more),
        }
    }

    /// Notes bytes of a response that hyper has got to send.
    pub fn add_unsent(&self, bytes: usize) {
        self.unsent.store(self.unsent.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
    }

    /// Waits until hyper may get more of a response.
    pub fn poll_send_room(&self, context: &Context<'_>) -> Poll<()> {
        if self.unsent.load(Ordering::Relaxed) < self.max_unsent {
            return Poll::Ready(());
        }
        let mut on_flush = lock(&self.on_flush);
        if !on_flush.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            on_flush.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// Keeps a request's part of the budget of work until its response is sent. Of small responses there
    /// is nothing to keep it for.
    pub fn keep_until_sent(&self, work: Permit) {
        if self.unsent.load(Ordering::Relaxed) > SMALL_RESPONSE_BYTES {
            lock(&self.on_flush).work.push(work);
        }
    }

    /// Notes that the socket has taken everything.
    pub fn flushed(&self) {
        let unsent = self.unsent.load(Ordering::Relaxed);
        if unsent > 0 {
            self.unsent.store(0, Ordering::Relaxed);
        }
        if unsent > SMALL_RESPONSE_BYTES {
            let OnFlush { wakers, work } = std::mem::take(&mut *lock(&self.on_flush));
            drop(work);
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What waits until the socket has taken everything.
#[derive(Default)]
struct OnFlush {
    wakers: Vec<Waker>,
    work: Vec<Permit>,
}

/// A request in work. It ends when this is dropped.
pub(crate) struct ActiveRequest {
    activity: Arc<Activity>,
    /// The head's part of the budget of heads, held until the end because the guest has the head.
    head_permit: Option<Permit>,
}

impl ActiveRequest {
    pub fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Holds this part of the budget of heads until the request ends.
    pub fn hold_head_permit(&mut self, permit: Permit) {
        self.head_permit = Some(permit);
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        let left = self.activity.in_work.fetch_sub(1, Ordering::Relaxed) - 1;
        if left == 0 {
            self.activity.wait.start_input(Awaited::NextRequest, now());
        }
        self.activity.polling.end();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::busy_poll::PollTime;

    fn activity() -> Arc<Activity> {
        Activity::new(Arc::new(BusyPoll::new(Arc::new(PollTime::new(Duration::ZERO)))), 16 << 10)
    }

    fn awaited(activity: &Activity) -> Option<Awaited> {
        activity.wait.longest().map(|(awaited, _)| awaited)
    }

    #[test]
    fn the_wait_for_the_client_pauses_while_a_request_is_in_work() {
        let activity = activity();
        assert_eq!(awaited(&activity), Some(Awaited::FirstRequest));
        activity.add_read(10);
        assert_eq!(awaited(&activity), Some(Awaited::Head));
        let (first, second) = (activity.begin_request(), activity.begin_request());
        assert_eq!((awaited(&activity), activity.head_bytes()), (None, 0));
        drop(first);
        assert_eq!(awaited(&activity), None);
        drop(second);
        assert_eq!(awaited(&activity), Some(Awaited::NextRequest));
    }

    #[test]
    fn the_time_of_a_head_starts_with_its_first_byte() {
        let activity = activity();
        activity.add_read(1);
        let first = activity.wait.input();
        while now() == first.expect("a head").1 {}
        activity.add_read(1);
        assert_eq!(activity.wait.input(), first);
    }

    #[test]
    fn a_long_head_holds_its_memory_until_the_request_ends() {
        let (activity, kib) = (activity(), Arc::new(tokio::sync::Semaphore::new(16)));
        activity.add_read(FREE_HEAD_BYTES + 1);
        activity.add_head_permit(kib.clone().try_acquire_many_owned(8).unwrap());
        activity.add_head_permit(kib.clone().try_acquire_many_owned(8).unwrap());
        assert_eq!(activity.head_permit_kib(), 16);
        let request = activity.begin_request();
        assert_eq!((activity.head_permit_kib(), kib.available_permits()), (0, 0));
        drop(request);
        assert_eq!(kib.available_permits(), 16);
    }
}
