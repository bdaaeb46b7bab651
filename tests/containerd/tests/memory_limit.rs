//! An app with a memory limit goes on and answers other clients, whatever a few clients send or do not read.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use harness::process::allow_open_files;
use harness::{Containerd, SpinApp, Task};

/// What the app may use, in bytes.
const LIMIT: u64 = 64 << 20;

/// An app within its limit.
struct Limited<'a> {
    containerd: &'a Containerd,
    task: Task<'a>,
    pid: i32,
}

impl<'a> Limited<'a> {
    fn run(containerd: &'a Containerd) -> Self {
        allow_open_files();
        containerd.import(&SpinApp::http("probe-http", "").plain("test.local/limited:1"));
        let task = containerd.run("limited", "test.local/limited:1", &["--memory-limit", &LIMIT.to_string()]);
        assert_eq!(task.get("/?env").status, 200);
        let pid = task.pid();
        Self { containerd, task, pid }
    }

    fn connect(&self) -> TcpStream {
        let address = self.task.url("").trim_start_matches("http://").parse().expect("an address");
        // The kernel's queue may be full of those who came before, for a moment.
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(20)).expect("the app's port is open");
        stream.set_nonblocking(true).expect("a socket");
        stream
    }

    /// So many connections that send this, as far as the app reads it, and read nothing.
    fn connections(&self, count: usize, sent: &[u8]) -> Vec<TcpStream> {
        (0..count).map(|_| self.connection(sent)).collect()
    }

    fn connection(&self, sent: &[u8]) -> TcpStream {
        let mut stream = self.connect();
        send(&mut stream, sent);
        stream
    }

    /// Other clients are answered, the app was not restarted, and it never used all of its memory.
    fn assert_within_limit(&self) {
        for _ in 0..10 {
            self.assert_answered();
        }
        assert_eq!(self.task.pid(), self.pid);
        let peak = self.peak();
        assert!(peak < LIMIT, "{peak} bytes at most");
    }

    /// A full queue answers 503 and when to come again, so the client comes again.
    fn assert_answered(&self) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            match self.task.get("/?env").status {
                200 => return,
                503 if Instant::now() < end => std::thread::sleep(Duration::from_millis(100)),
                status => panic!("status {status}\n{}", self.task.said()),
            }
        }
    }

    /// The most memory it ever had, with what the kernel keeps for it.
    fn peak(&self) -> u64 {
        let files = self.containerd.cgroups().map(|dir| dir.join("limited"));
        let files = files.flat_map(|dir| ["memory.max_usage_in_bytes", "memory.peak"].map(|name| dir.join(name)));
        let peak = files.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).next();
        peak.expect("a cgroup with a limit tells the most memory that was used")
    }
}

/// Sends what the other end takes within a moment.
fn send(stream: &mut TcpStream, mut bytes: &[u8]) {
    let end = Instant::now() + Duration::from_millis(20);
    while !bytes.is_empty() && Instant::now() < end {
        match stream.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(_) => return,
        }
    }
}

/// Waits for the first bytes of an answer.
fn wait_for_answer(stream: &mut TcpStream) {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        match stream.read(&mut [0; 4096]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(1)),
            _ => return,
        }
    }
    panic!("no answer");
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// What an HTTP/2 client sends that has so much room for each answer and asks for a path on so many streams; `method` and `flags` of
/// their heads.
fn streams(window: u32, count: u32, method: u8, path: &str, flags: u8) -> Vec<u8> {
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend(frame(4, 0, 0, &[&[0, 4][..], &window.to_be_bytes()].concat()));
    let length = u8::try_from(path.len()).expect("a short path");
    let head = [&[method, 0x86, 1, 1, b'a', 4, length], path.as_bytes()].concat();
    (0..count).for_each(|index| sent.extend(frame(1, 4 | flags, 2 * index + 1, &head)));
    sent
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;
const END_STREAM: u8 = 1;

#[test]
fn unread_long_responses_over_http2_stay_within_the_limit() {
    let containerd = Containerd::v2();
    let app = Limited::run(&containerd);
    let _open = app.connections(10, &streams(1 << 24, 200, GET, "/?stream=10000000", END_STREAM));
    app.assert_within_limit();
}

#[test]
fn unread_short_responses_over_http2_stay_within_the_limit() {
    let containerd = Containerd::v2();
    let app = Limited::run(&containerd);
    for window in [1, 1 << 24] {
        let _open = app.connections(50, &streams(window, 200, GET, "/?stream=60000", END_STREAM));
        app.assert_within_limit();
    }
}

#[test]
fn unread_request_bodies_over_http2_stay_within_the_limit() {
    let containerd = Containerd::v2();
    let app = Limited::run(&containerd);
    let mut sent = streams(1 << 16, 1, POST, "/?sleep=60000", 0);
    (0..60).for_each(|_| sent.extend(frame(0, 0, 1, &[b'x'; 1 << 14])));
    let _open = app.connections(200, &sent);
    app.assert_within_limit();
}

#[test]
fn long_heads_over_http2_stay_within_the_limit() {
    let containerd = Containerd::v2();
    let app = Limited::run(&containerd);
    // A field of 4,000 bytes that goes into the connection's table, and is named again and again.
    let long = [&[0x40, 1, b'b', 0x7f, 0xa1, 0x1e][..], &[b'v'; 4000]].concat();
    let mut sent = streams(1 << 16, 0, GET, "", 0);
    for index in 0..100 {
        let field = if index == 0 { long.clone() } else { Vec::new() };
        let head = [&[GET, 0x86, 1, 1, b'a', 4, 14], &b"/?sleep=600000"[..], &field, &[0xbe; 90]].concat();
        sent.extend(frame(1, 4 | END_STREAM, 2 * index + 1, &head));
    }
    let _open = app.connections(100, &sent);
    app.assert_within_limit();
}

#[test]
fn half_heads_stay_within_the_limit() {
    let containerd = Containerd::v2();
    let app = Limited::run(&containerd);
    for length in [58, 400] {
        let sent = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "a".repeat(length << 10));
        let _open = app.connections(2000, sent.as_bytes());
        app.assert_within_limit();
    }
}

#[test]
fn long_heads_of_requests_in_work_stay_within_the_limit() {
    let containerd = Containerd::v2();
    let app = Limited::run(&containerd);
    let sent = format!("GET /?sleep=60000 HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(390 << 10));
    let _open = app.connections(40, sent.as_bytes());
    app.assert_within_limit();
}

#[test]
fn idle_connections_after_a_request_stay_within_the_limit() {
    let containerd = Containerd::v2();
    let app = Limited::run(&containerd);
    let open = (0..7000).map(|_| {
        let mut stream = app.connection(b"GET /?env HTTP/1.1\r\nHost: a\r\n\r\n");
        wait_for_answer(&mut stream);
        stream
    });
    let _open: Vec<_> = open.collect();
    app.assert_within_limit();
}

#[test]
fn connections_without_a_request_stay_within_the_limit() {
    let containerd = Containerd::v2();
    let app = Limited::run(&containerd);
    let _open = app.connections(5000, b"");
    app.assert_within_limit();
}

#[test]
fn unread_responses_over_http1_stay_within_the_limit() {
    let containerd = Containerd::v2();
    let app = Limited::run(&containerd);
    for length in [50_000_000, 60_000] {
        let sent = format!("GET /?stream={length} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(20);
        let _open = app.connections(1000, sent.as_bytes());
        app.assert_within_limit();
    }
}

#[test]
fn waiting_requests_stay_within_the_limit() {
    let containerd = Containerd::v2();
    let app = Limited::run(&containerd);
    let _open = app.connections(600, b"GET /?sleep=3000 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(app.task.pid(), app.pid);
    assert!(app.peak() < LIMIT, "{} bytes at most", app.peak());
}
