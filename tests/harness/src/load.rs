//! Requests at a steady rate. Each is sent once and has one outcome.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// How long a client waits for a response.
const PATIENCE: Duration = Duration::from_secs(10);

/// The requests of a trial.
#[derive(Clone, Debug)]
pub struct Load {
    /// Requests a second. A request does not wait for the response to the one before it.
    pub rate: f64,
    /// How long requests are sent.
    pub duration: Duration,
    /// Whether connections are used again, the one used last first; otherwise each request has its own.
    pub keep_alive: bool,
}

/// The outcomes of all requests.
#[derive(Debug, Default)]
pub struct Outcomes {
    /// All requests.
    pub sent: usize,
    /// Those answered with a status below 500.
    pub answered: usize,
    /// The others, counted by their errors.
    pub lost: BTreeMap<String, usize>,
}

impl fmt::Display for Outcomes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, answered, lost } = self;
        write!(out, "sent {sent}, answered {answered}, lost {}", lost.values().sum::<usize>())?;
        lost.iter().try_for_each(|(what, count)| write!(out, "\n  {count} x {what}"))
    }
}

/// Kept connections without a request.
type Pool = Arc<Mutex<Vec<TcpStream>>>;

/// Sends the requests. `target` returns the `host:port` of each new connection, as a load balancer chooses it.
pub async fn run(load: &Load, path: &str, target: impl Fn() -> String) -> Outcomes {
    let (pool, begun) = (Pool::default(), Instant::now());
    let mut requests = JoinSet::new();
    let count = (load.rate * load.duration.as_secs_f64()) as u32;
    for index in 0..count {
        sleep_until(begun + Duration::from_secs_f64(f64::from(index) / load.rate)).await;
        let pool = load.keep_alive.then(|| pool.clone());
        requests.spawn(outcome(pool, target(), path.to_owned()));
    }
    let mut outcomes = Outcomes { sent: count as usize, ..Outcomes::default() };
    for outcome in requests.join_all().await {
        match outcome {
            Ok(()) => outcomes.answered += 1,
            Err(what) => *outcomes.lost.entry(what).or_default() += 1,
        }
    }
    outcomes
}

/// Runs it on a thread of its own.
pub fn spawn(load: Load, path: &'static str, target: impl Fn() -> String + Send + 'static) -> JoinHandle<Outcomes> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        runtime.block_on(run(&load, path, target))
    })
}

async fn outcome(pool: Option<Pool>, target: String, path: String) -> Result<(), String> {
    timeout(PATIENCE, exchange(pool, &target, &path)).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
}

async fn exchange(pool: Option<Pool>, target: &str, path: &str) -> Result<(), String> {
    let kept = pool.as_ref().and_then(reusable);
    let (mut stream, which) = match kept {
        Some(stream) => (stream, "a connection that was used before"),
        None => (TcpStream::connect(target).await.map_err(|error| format!("connecting: {error}"))?, "a new connection"),
    };
    let connection = if pool.is_some() { "keep-alive" } else { "close" };
    let head = format!("GET {path} HTTP/1.1\r\nhost: {target}\r\nconnection: {connection}\r\n\r\n");
    let sent = stream.write_all(head.as_bytes()).await;
    sent.map_err(|error| format!("sending on {which}: {error}"))?;
    let answer = Answer::read(&mut stream).await.map_err(|error| format!("reading from {which}: {error}"))?;
    if let (Some(pool), true) = (pool, answer.keep_alive) {
        lock(&pool).push(stream);
    }
    if answer.status >= 500 { Err(format!("status {}", answer.status)) } else { Ok(()) }
}

/// A connection that the server has not closed. This asks the kernel: the runtime may report a close late, and
/// a request on a closed connection would be lost by this client, not by the server.
fn reusable(pool: &Pool) -> Option<TcpStream> {
    loop {
        let stream = lock(pool).pop()?;
        match SockRef::from(&stream).peek(&mut [MaybeUninit::uninit()]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(stream),
            _ => {}
        }
    }
}

fn lock(pool: &Pool) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
    pool.lock().expect("nobody panics with it")
}

struct Answer {
    status: u16,
    keep_alive: bool,
}

impl Answer {
    /// Reads a response to its end, by its length or by its last chunk.
    async fn read(stream: &mut TcpStream) -> io::Result<Self> {
        let mut bytes = Vec::new();
        loop {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let text = String::from_utf8_lossy(&bytes);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let head = head.to_ascii_lowercase();
            let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name).map(str::trim));
            let complete = match field("content-length:") {
                Some(length) => length.parse().is_ok_and(|length: usize| body.len() >= length),
                None => field("transfer-encoding:").is_none() || body.ends_with("0\r\n\r\n"),
            };
            if complete {
                let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
                let status = status.ok_or(io::ErrorKind::InvalidData)?;
                return Ok(Self { status, keep_alive: field("connection:") != Some("close") });
            }
        }
    }
}
