//! How the server behaves, whatever the app.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use spin_runtime::http::Reuse;

/// Settings of the HTTP server; the default suits a pod.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen; port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// Threads that serve, each with a runtime of its own. With 1 everything stays on the runtime that calls
    /// [`crate::Server::run`], and no thread is made.
    pub workers: usize,
    /// The biggest request body in bytes; more is answered with 413. Bodies stream: this much is never held in memory.
    pub max_body: u64,
    /// The biggest request head in bytes, at least 8 KiB; more is answered with 431.
    pub max_head: usize,
    /// The most header fields of a request; more is answered with 431.
    pub max_headers: usize,
    /// Requests in work and waiting for an instance, together; one more is answered with 503 at once.
    pub max_requests: usize,
    /// Open connections; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// How long a client may take over a request's head, from its first byte on.
    pub head_timeout: Duration,
    /// How long a connection may stay open without a request.
    pub idle_timeout: Duration,
    /// How long a client may neither send the body it announced nor take the answer it asked for.
    pub stall_timeout: Duration,
    /// How long a component may work without progress on a request before 504 is answered, or the answer
    /// is broken off, and its instance ended; also how long it may work after its answer. None: no limit.
    pub request_timeout: Option<Duration>,
    /// The health path answers 503 once no instance has become free for this long and a request has waited.
    pub stuck_after: Duration,
    /// How long a worker looks for the next request before it sleeps, while requests come in short intervals; zero: never. While it looks it takes
    /// processor time that nobody else wants.
    pub busy_poll: Duration,
    /// How often an instance is used again; none: WASI 0.2 never, WASI 0.3 as its guests expect.
    pub reuse: Option<Reuse>,
    /// For how long at most the server goes on accepting after it was told to drain, because load balancers learn of it late.
    /// It ends early, after [`LINGER_QUIET`] without a request. Zero closes the port at once.
    pub linger: Duration,
}

/// The silence after which a draining server believes that no load balancer sends it anything more.
pub const LINGER_QUIET: Duration = Duration::from_millis(300);

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80)),
            workers: 1,
            max_body: 1 << 30,
            max_head: 64 << 10,
            max_headers: 128,
            max_requests: 4096,
            max_connections: 16_384,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(60),
            request_timeout: Some(Duration::from_secs(120)),
            stuck_after: Duration::from_secs(10),
            busy_poll: Duration::from_micros(100),
            reuse: None,
            linger: Duration::from_secs(2),
        }
    }
}
