//! What the server waits for a client to do, and since when.
//!
//! Everything that the server can end by itself has a [`ClientWait`]: an HTTP/1 connection, an HTTP/2
//! connection, and a stream of one. It also carries the commands to drain or to evict. Nothing is timed
//! for each request: a request costs two stores and no timer.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::task::AtomicWaker;
use rustix::time::{ClockId, clock_gettime};

/// What a client has to do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Awaited {
    /// Send the first request of its connection.
    FirstRequest = 1,
    /// Send another request.
    NextRequest,
    /// Send the rest of a request's head.
    Head,
    /// Send more of a request's body, for which the guest waits.
    Body,
    /// Read more of a response.
    Response,
}

impl Awaited {
    const ALL: [Self; 5] = [Self::FirstRequest, Self::NextRequest, Self::Head, Self::Body, Self::Response];
}

/// Milliseconds of the coarse monotonic clock, which is the cheapest to read. It advances with the
/// kernel's ticks, every 1 to 10 ms.
pub(crate) fn now() -> u64 {
    let now = Duration::try_from(clock_gettime(ClockId::MonotonicCoarse)).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// What is awaited and since when, in one word: [`Awaited`] in the lowest three bits, the time in
/// milliseconds above them; 0: nothing.
struct Since(AtomicU64);

impl Since {
    fn start(&self, awaited: Awaited, moment: u64) {
        self.0.store(moment << 3 | u64::from(awaited as u8), Ordering::Relaxed);
    }

    fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn get(&self) -> Option<(Awaited, u64)> {
        let word = self.0.load(Ordering::Relaxed);
        let awaited = Awaited::ALL.into_iter().find(|awaited| u64::from(*awaited as u8) == word & 7)?;
        Some((awaited, word >> 3))
    }
}

/// A command to a connection or a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Command {
    /// The server shuts down: finish the requests in work, then close.
    Drain,
    /// Other clients need the resources: end now, unless the server no longer waits for the client.
    Evict,
}

const DRAIN: u8 = 1;
const EVICT: u8 = 2;

/// What one connection or stream waits for its client to do.
pub(crate) struct ClientWait {
    /// What the client has to send.
    input: Since,
    /// Since when the client has read nothing of a response.
    output: Since,
    commands: AtomicU8,
    task: AtomicWaker,
}

impl ClientWait {
    /// For a stream, whose request has arrived.
    pub fn nothing() -> Self {
        let [input, output] = [0; 2].map(|word| Since(AtomicU64::new(word)));
        Self { input, output, commands: AtomicU8::new(0), task: AtomicWaker::new() }
    }

    /// For a connection, which waits for its first request.
    pub fn first_request() -> Self {
        let wait = Self::nothing();
        wait.input.start(Awaited::FirstRequest, now());
        wait
    }

    /// Sets what the client has to send, and since when the server waits for it.
    pub fn start_input(&self, awaited: Awaited, since: u64) {
        self.input.start(awaited, since);
    }

    /// What the client has to send.
    pub fn input(&self) -> Option<(Awaited, u64)> {
        self.input.get()
    }

    /// The client has nothing to send now.
    pub fn end_input(&self) {
        self.input.clear();
    }

    /// The client need not send more of a body. A wait for anything else goes on.
    pub fn end_body(&self) {
        if matches!(self.input.get(), Some((Awaited::Body, _))) {
            self.input.clear();
        }
    }

    /// The client does not read its response. An earlier start of this wait stays.
    pub fn start_output(&self) {
        if self.output.get().is_none() {
            self.output.start(Awaited::Response, now());
        }
    }

    /// Since when the client has read nothing of its response.
    pub fn output(&self) -> Option<u64> {
        self.output.get().map(|(_, since)| since)
    }

    /// The client has read everything that was sent.
    pub fn end_output(&self) {
        self.output.clear();
    }

    /// The longest of the client's delays. None: it is the server or the guest that has something to do.
    pub fn longest(&self) -> Option<(Awaited, u64)> {
        [self.output.get(), self.input.get()].into_iter().flatten().min_by_key(|(_, since)| *since)
    }

    /// Sends a command to the task of the connection or stream.
    pub fn send(&self, command: Command) {
        let bit = if command == Command::Drain { DRAIN } else { EVICT };
        self.commands.fetch_or(bit, Ordering::Release);
        self.task.wake();
    }

    /// Receives the next command. Only one task may wait for it.
    pub async fn receive(&self) -> Command {
        poll_fn(|context| self.poll_receive(context)).await
    }

    fn poll_receive(&self, context: &mut Context<'_>) -> Poll<Command> {
        // Registered before the load, so that no command between the two is missed.
        self.task.register(context.waker());
        let (command, bit) = match self.commands.load(Ordering::Acquire) {
            0 => return Poll::Pending,
            commands if commands & DRAIN != 0 => (Command::Drain, DRAIN),
            _ => (Command::Evict, EVICT),
        };
        self.commands.fetch_and(!bit, Ordering::Relaxed);
        Poll::Ready(command)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn the_longest_wait_is_the_earlier_of_input_and_output() {
        let wait = ClientWait::nothing();
        assert_eq!(wait.longest(), None);
        wait.start_input(Awaited::Body, 5);
        assert_eq!(wait.longest(), Some((Awaited::Body, 5)));
        wait.output.start(Awaited::Response, 4);
        assert_eq!(wait.longest(), Some((Awaited::Response, 4)));
        wait.end_output();
        wait.end_body();
        assert_eq!(wait.longest(), None);
    }

    #[test]
    fn the_end_of_a_body_does_not_end_the_wait_for_a_request() {
        let wait = ClientWait::first_request();
        wait.end_body();
        assert!(matches!(wait.input(), Some((Awaited::FirstRequest, _))));
    }

    #[test]
    fn each_command_is_received_once_and_drain_comes_first() {
        let wait = ClientWait::nothing();
        assert_eq!(wait.receive().now_or_never(), None);
        wait.send(Command::Evict);
        wait.send(Command::Drain);
        assert_eq!(wait.receive().now_or_never(), Some(Command::Drain));
        assert_eq!(wait.receive().now_or_never(), Some(Command::Evict));
        assert_eq!(wait.receive().now_or_never(), None);
    }
}
