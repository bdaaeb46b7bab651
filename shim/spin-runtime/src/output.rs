//! The process's stdout and stderr: a bounded queue for each, written out by a thread of its own. No other
//! thread waits for the reader of a log.
//!
//! When the reader stands still, the pipe fills up, and then the queue. From then on guests that write
//! wait. Output that can't wait, which is the host's own lines and the last line of an instance that
//! ends, is dropped and counted; the count is written once there is room again.
//!
//! The threads write with blocking calls. The pipe is shared with other processes, so it can't be made
//! non-blocking; and a process that is not root can't open it a second time (`/proc/self/fd/1`), because
//! the pipe belongs to the user who made it.

use std::borrow::Cow;
use std::io;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use spin_app::text::one_line;
use tokio::sync::Notify;

/// Bytes that a pipe takes in one piece, without another writer's bytes in between (`PIPE_BUF`).
pub(crate) const MAX_PIECE_BYTES: usize = 4096;
/// Bytes in the queue beyond which guests wait.
const MAX_QUEUED_BYTES: usize = 256 << 10;
/// Bytes in the queue beyond which the host's own lines are dropped. They have room beyond that of guests,
/// so that a guest that fills the queue does not silence the host.
const MAX_QUEUED_BYTES_OF_HOST: usize = MAX_QUEUED_BYTES + (64 << 10);
/// Bytes that an empty queue keeps allocated.
const KEPT_BYTES: usize = 16 << 10;
/// Stack of a writing thread.
const STACK_BYTES: usize = 64 << 10;

/// Both outputs of the process.
#[derive(Clone, Debug)]
pub struct Stdio {
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
}

impl Stdio {
    /// Those of the process; each call returns the same queues.
    pub fn of_process() -> io::Result<Self> {
        static PROCESS: OnceLock<Stdio> = OnceLock::new();
        if let Some(stdio) = PROCESS.get() {
            return Ok(stdio.clone());
        }
        let stdout = io::stdout().as_fd().try_clone_to_owned()?;
        let stdio = Self::to(stdout, io::stderr().as_fd().try_clone_to_owned()?);
        Ok(PROCESS.get_or_init(|| stdio).clone())
    }

    /// Other files, for tests.
    pub fn to(stdout: OwnedFd, stderr: OwnedFd) -> Self {
        Self { stdout: Output::new("stdout", stdout), stderr: Output::new("stderr", stderr) }
    }
}

/// Writes a line of the host's own to stderr without waiting; drops it when the queue is full. The text stays on one line,
/// whatever is in it.
pub fn say(line: &str) {
    say_lines(&[line]);
}

/// Writes several such lines, with nothing in between.
pub fn say_lines(lines: &[impl AsRef<str>]) {
    if let Ok(stdio) = Stdio::of_process() {
        stdio.stderr.say_lines(lines);
    }
}

/// Writes lines of the host's own to stdout, as [`say_lines`] does to stderr.
pub fn announce_lines(lines: &[impl AsRef<str>]) {
    if let Ok(stdio) = Stdio::of_process() {
        stdio.stdout.say_lines(lines);
    }
}

/// Waits until everything is written, at most for `limit`; called before the process ends.
pub fn flush(limit: Duration) {
    let end = Instant::now() + limit;
    if let Ok(Stdio { stdout, stderr }) = Stdio::of_process() {
        stdout.flush(end);
        stderr.flush(end);
    }
}

/// One output of the process.
#[derive(Clone, Debug)]
pub(crate) struct Output(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The name of the thread.
    name: &'static str,
    fd: OwnedFd,
    queue: Mutex<Queue>,
    /// Wakes the thread when there is something to write.
    filled: Condvar,
    /// Wakes [`flush`] when everything is written.
    emptied: Condvar,
    /// Wakes guests when there is room.
    room: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    /// Bytes that the thread has taken and not written yet.
    writing: usize,
    /// Bytes dropped since the last line that said so.
    dropped: u64,
    thread: Thread,
}

#[derive(Debug, Default, Eq, PartialEq)]
enum Thread {
    /// It is not started: nothing was written yet.
    #[default]
    None,
    Asleep,
    Awake,
}

impl Queue {
    fn len(&self) -> usize {
        self.bytes.len() + self.writing
    }

    fn has_room(&self) -> bool {
        self.len() < MAX_QUEUED_BYTES
    }

    fn is_empty(&self) -> bool {
        self.len() == 0 && self.dropped == 0
    }
}

impl Output {
    fn new(name: &'static str, fd: OwnedFd) -> Self {
        let (queue, filled, emptied, room) = <(Mutex<Queue>, Condvar, Condvar, Notify)>::default();
        Self(Arc::new(Shared { name, fd, queue, filled, emptied, room }))
    }

    /// How many bytes a guest may write now.
    pub(crate) fn room(&self) -> usize {
        if self.0.queue().has_room() { MAX_PIECE_BYTES } else { 0 }
    }

    /// Returns once there is room.
    pub(crate) async fn wait_for_room(&self) {
        loop {
            let room = self.0.room.notified();
            // Notices a wake-up between this line and the await.
            if self.0.queue().has_room() {
                return;
            }
            room.await;
        }
    }

    /// Writes whole lines, or a part of a longer one, of a guest that has looked for room before.
    pub(crate) fn write(&self, bytes: &[u8]) {
        self.push(&[bytes], usize::MAX);
    }

    /// Writes what an instance leaves at its end, as a line; drops it when the queue is full.
    pub(crate) fn write_last(&self, bytes: &[u8]) {
        self.push(&[bytes, b"\n"], MAX_QUEUED_BYTES);
    }

    /// Writes a line of the host's own, see [`say`].
    pub(crate) fn say(&self, line: &str) {
        self.say_lines(&[line]);
    }

    fn say_lines(&self, lines: &[impl AsRef<str>]) {
        let text: String = lines.iter().flat_map(|line| [one_line(line.as_ref()), Cow::Borrowed("\n")]).collect();
        self.push(&[text.as_bytes()], MAX_QUEUED_BYTES_OF_HOST);
    }

    fn push(&self, parts: &[&[u8]], limit: usize) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let mut queue = self.0.queue();
        if queue.len().saturating_add(length) > limit {
            queue.dropped += length as u64;
        } else {
            parts.iter().for_each(|part| queue.bytes.extend_from_slice(part));
        }
        match queue.thread {
            Thread::Awake => {}
            Thread::Asleep => {
                queue.thread = Thread::Awake;
                drop(queue);
                self.0.filled.notify_one();
            }
            Thread::None => {
                let shared = self.0.clone();
                let thread = thread::Builder::new().name(self.0.name.to_owned()).stack_size(STACK_BYTES);
                // If no thread can be made now, the next write tries again.
                if thread.spawn(move || write_out(&shared)).is_ok() {
                    queue.thread = Thread::Awake;
                }
            }
        }
    }

    fn flush(&self, end: Instant) {
        let mut queue = self.0.queue();
        while queue.thread != Thread::None && !queue.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            queue = self.0.emptied.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for output and takes all of it, with a line about dropped bytes at its end. `taken`: the buffer
    /// that was taken before, to be used again.
    fn take(&self, mut taken: Vec<u8>) -> Vec<u8> {
        taken.clear();
        let mut queue = self.queue();
        if queue.is_empty() {
            // Gives the memory of a burst back.
            taken.shrink_to(KEPT_BYTES);
            queue.bytes.shrink_to(KEPT_BYTES);
            self.emptied.notify_all();
        }
        while queue.is_empty() {
            queue.thread = Thread::Asleep;
            queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.thread = Thread::Awake;
        mem::swap(&mut queue.bytes, &mut taken);
        if let dropped @ 1.. = mem::take(&mut queue.dropped) {
            let line = format!("{dropped} bytes of output were dropped, because nobody read the output before them\n");
            taken.extend_from_slice(line.as_bytes());
        }
        queue.writing = taken.len();
        taken
    }

    /// Notes that this number of the taken bytes is written.
    fn written(&self, bytes: usize) {
        let mut queue = self.queue();
        let had_room = queue.has_room();
        queue.writing -= bytes;
        if !had_room && queue.has_room() {
            drop(queue);
            self.room.notify_waiters();
        }
    }
}

/// Writes all output as long as the process lives.
fn write_out(shared: &Shared) {
    let mut taken = Vec::new();
    loop {
        taken = shared.take(taken);
        let mut rest = &taken[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(piece(rest));
            // An error means that the pipe has no reader any more, so the output is lost.
            let _nobody_reads = write_all(&shared.fd, piece);
            shared.written(piece.len());
            rest = after;
        }
    }
}

/// How many of these bytes to write at once: whole lines as far as they fit, or the beginning of a longer one.
fn piece(bytes: &[u8]) -> usize {
    let window = &bytes[..bytes.len().min(MAX_PIECE_BYTES)];
    window.iter().rposition(|&byte| byte == b'\n').map_or(window.len(), |end| end + 1)
}

fn write_all(fd: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            // Another process has made the shared pipe non-blocking.
            Err(Errno::AGAIN) => drop(poll(&mut [PollFd::new(fd, PollFlags::OUT)], None)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read};

    use futures::FutureExt;

    use super::*;

    fn pipe() -> (PipeReader, Output) {
        let (reader, writer) = std::io::pipe().unwrap();
        (reader, Output::new("test", writer.into()))
    }

    /// The numbers of dropped bytes that the text names, added up.
    fn dropped(text: &str) -> usize {
        let lines = text.lines().filter(|line| line.ends_with(" before them"));
        lines.map(|line| line.split(' ').next().unwrap().parse::<usize>().unwrap()).sum()
    }

    /// Reads until the text ends with `end`.
    fn read_until(reader: &mut PipeReader, end: &str) -> String {
        let (mut text, mut buffer) = (String::new(), [0; 1 << 16]);
        while !text.ends_with(end) {
            let length = reader.read(&mut buffer).unwrap();
            text.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        }
        text
    }

    /// Writes as a guest until there is no room; returns how many bytes were taken.
    fn fill(output: &Output) -> usize {
        let writes = (0..1000).take_while(|_| output.room() > 0).map(|_| output.write(&[b'\n'; 1000]));
        let taken = writes.count() * 1000;
        assert!(taken < 2 * MAX_QUEUED_BYTES, "{taken} bytes were taken");
        taken
    }

    #[test]
    fn whole_lines_are_written_in_one_piece() {
        assert_eq!(piece(b"a\nb\nc"), 4);
        assert_eq!(piece(b"abc"), 3);
        assert_eq!(piece(&[b'x'; MAX_PIECE_BYTES + 1]), MAX_PIECE_BYTES);
        assert_eq!(piece(&[vec![b'x'; MAX_PIECE_BYTES - 1], b"\nbc".to_vec()].concat()), MAX_PIECE_BYTES);
    }

    #[test]
    fn guests_wait_while_nobody_reads_and_go_on_afterwards() {
        let (mut reader, output) = pipe();
        let written = fill(&output);
        assert!(output.wait_for_room().now_or_never().is_none());
        reader.read_exact(&mut vec![0; written]).unwrap();
        output.wait_for_room().now_or_never().expect("there is room");
    }

    #[test]
    fn output_that_cannot_wait_is_dropped_and_counted_while_nobody_reads() {
        let (mut reader, output) = pipe();
        fill(&output);
        let line = "x".repeat(999);
        (0..1000).for_each(|_| output.say(&line));
        (0..10).for_each(|_| output.write_last(b"left"));
        // Several lines say what was dropped, if the thread begins to write meanwhile.
        let (mut text, mut said) = (String::new(), 0);
        while said * 1000 + dropped(&text) < 1000 * 1000 + 50 {
            text.push_str(&read_until(&mut reader, "\n"));
            said = text.lines().filter(|said| **said == line).count();
        }
        assert!((1..1000).contains(&said) && !text.contains("left"), "{said}");
        assert_eq!(dropped(&text), (1000 - said) * 1000 + 50);
    }

    #[test]
    fn text_in_a_line_of_the_host_begins_no_other_line() {
        let (mut reader, output) = pipe();
        output.say("the path \"/a\nServing http://forged\" is taken");
        output.say_lines(&["one\r", "two"]);
        let expected = "the path \"/a\\nServing http://forged\" is taken\none\\r\ntwo\n";
        assert_eq!(read_until(&mut reader, "two\n"), expected);
    }

    #[test]
    fn flushing_waits_for_the_reader_up_to_its_limit() {
        let (mut reader, output) = pipe();
        output.say("one");
        output.flush(Instant::now() + Duration::from_secs(60));
        assert_eq!(read_until(&mut reader, "\n"), "one\n");
        fill(&output);
        let begun = Instant::now();
        output.flush(begun + Duration::from_millis(50));
        assert!((50..10_000).contains(&begun.elapsed().as_millis()));
    }

    #[test]
    fn no_output_is_kept_for_a_reader_that_is_gone() {
        let (reader, output) = pipe();
        drop(reader);
        for _ in 0..1000 {
            output.say(&"x".repeat(999));
            output.flush(Instant::now() + Duration::from_secs(60));
        }
        assert!(output.0.queue().is_empty());
    }
}
