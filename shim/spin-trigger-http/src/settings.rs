//! The settings of the server, and the limits that follow from the container's memory.

use std::time::Duration;

use spin_runtime::http::Reuse;

use crate::listener::Listen;

/// The memory, in bytes, for which a server without a memory limit is sized.
const UNLIMITED_MEMORY: u64 = 2 << 30;

/// The memory of a connection after a request, in bytes: measured 24.5 KiB with HTTP/1, 1.7 KiB of them in
/// the kernel; the rest is what the allocator keeps of connections that have ended.
const CONNECTION_BYTES: u64 = 32 << 10;

/// The memory of an HTTP/2 stream beside its request and its response, in bytes: its state in h2, and its
/// task.
const STREAM_BYTES: u64 = 2 << 10;

/// The container's memory for each request in work, in bytes. An instance takes a quarter of this while its
/// client does not read a long response, and the pool of instances keeps as much again.
const MEMORY_PER_REQUEST: u64 = 3 << 19;

/// The longest request head that hyper takes by default, and so upstream's server too.
const DEFAULT_MAX_HEAD: u64 = 408 << 10;

/// The settings of the HTTP server. [`Settings::for_memory`] derives the limits from a container's memory.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: Listen,
    /// Threads that serve, each with a runtime of its own. With 1 the server uses the runtime that calls
    /// [`crate::Server::run`], and makes no thread.
    pub workers: usize,
    /// The longest request body in bytes; a longer one is answered with 413. Bodies stream: this much is
    /// never held in memory.
    pub max_body: u64,
    /// The longest request head in bytes, at least 8 KiB; a longer one is answered with 431.
    pub max_head: usize,
    /// Bytes of all request heads together, those being read and those of requests in work. The first
    /// 8 KiB of each HTTP/1 connection and 1 KiB of each HTTP/2 stream don't count. The rest of an HTTP/1
    /// head counts twice, for the buffer into which it is read. One head of the longest kind always fits.
    pub max_head_memory: usize,
    /// The most header fields of a request; more are answered with 431.
    pub max_headers: usize,
    /// Requests in work and requests that wait for an instance, together; one more is answered with 503.
    pub max_requests: usize,
    /// Requests that instances work on at once. Beyond that the server evicts requests whose clients it
    /// has waited for the longest.
    pub max_working: usize,
    /// Open connections; an HTTP/2 connection counts as [`Settings::http2_places`]. Beyond that the server
    /// evicts the connections whose clients it has waited for the longest. Where there are none, new
    /// connections wait in the kernel's queue.
    pub max_connections: usize,
    /// Streams of an HTTP/2 connection at once.
    pub max_streams: u32,
    /// Bytes of request bodies that an HTTP/2 client may send before the guest reads them, on a connection
    /// and on each of its streams.
    pub window: u32,
    /// Bytes of a response that wait in memory for the client, at least 8 KiB; and bytes of a request's
    /// body that are read at once.
    pub send_buffer: usize,
    /// How long a client may take to complete a request's head, from its first byte.
    pub head_timeout: Duration,
    /// How long a connection may stay open without a request. It is longer than those of usual proxies,
    /// which would otherwise send a request while the connection is being closed: 60 s for AWS's load
    /// balancer, 60 to 75 s for nginx, 90 s for Traefik.
    pub idle_timeout: Duration,
    /// How long a client may neither send the body that it announced nor read the response.
    pub stall_timeout: Duration,
    /// How long a component may work without progress on a request before 504 is answered, or the answer
    /// is broken off, and its instance ended; also how long it may work after its answer. None: no limit.
    pub request_timeout: Option<Duration>,
    /// The health path answers 503 once no instance has become free for this long and a request has waited.
    pub stuck_after: Duration,
    /// How long a worker polls for the next request before it sleeps, while requests come in short
    /// intervals; zero: never. It polls only with processor time that nobody else wants.
    pub busy_poll: Duration,
    /// How often an instance is used again; none: WASI 0.2 never, WASI 0.3 as its guests expect.
    pub reuse: Option<Reuse>,
    /// How long the server accepts connections after it begins to drain, because load balancers learn of
    /// that late. Zero closes the port at once.
    pub linger: Duration,
}

impl Settings {
    /// The settings for a process that may use `memory` bytes and `files` open files; none: no limit.
    ///
    /// | share of the memory | for |
    /// |---|---|
    /// | 1/4 | connections |
    /// | 1/8 | request heads beyond the first 8 KiB of a connection |
    /// | 1/8 | requests that wait |
    /// | 3/8 | instances in work, and those that the pool keeps |
    /// | 1/8 | the engine, the components' data, the kernel's page tables |
    pub fn for_memory(memory: Option<u64>, files: Option<u64>) -> Self {
        let memory = memory.unwrap_or(UNLIMITED_MEMORY);
        let max_head_memory = (memory / 8).clamp(1 << 20, 64 << 20);
        // The other quarter is for the connections that guests open.
        let max_by_files = files.map_or(u64::MAX, |files| files / 4 * 3);
        Self {
            max_connections: to_size((memory / 4 / CONNECTION_BYTES).clamp(64, 16_384).min(max_by_files).max(1)),
            max_head_memory: to_size(max_head_memory),
            max_head: to_size(DEFAULT_MAX_HEAD.min(max_head_memory / 4)),
            max_requests: to_size((memory >> 16).clamp(256, 4096)),
            max_working: to_size((memory / MEMORY_PER_REQUEST).clamp(32, 1000)),
            max_streams: (memory >> 19).clamp(32, 200) as u32,
            window: (memory >> 10).clamp(64 << 10, 256 << 10) as u32,
            send_buffer: to_size((memory >> 12).clamp(16 << 10, 64 << 10)),
            listen: Listen::Everywhere(80),
            workers: 1,
            max_body: 1 << 30,
            max_headers: 128,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            stall_timeout: Duration::from_secs(60),
            request_timeout: Some(Duration::from_secs(120)),
            stuck_after: Duration::from_secs(10),
            busy_poll: Duration::from_micros(100),
            reuse: None,
            linger: Duration::from_secs(3),
        }
    }

    /// The budget of all heads in KiB. It has room for one head of the longest kind, whose buffer takes
    /// twice its length.
    pub(crate) fn head_budget_kib(&self) -> usize {
        self.max_head_memory.max(self.max_head.saturating_mul(2)).div_ceil(1 << 10).saturating_add(32)
    }

    /// Bytes of a response that the kernel takes before it has sent those before.
    pub(crate) fn max_kernel_unsent(&self) -> u32 {
        u32::try_from(self.send_buffer.saturating_mul(2)).unwrap_or(u32::MAX)
    }

    /// The places that an HTTP/2 connection takes, by the memory of its window and its streams.
    pub fn http2_places(&self) -> usize {
        let bytes = u64::from(self.window) + u64::from(self.max_streams) * STREAM_BYTES;
        to_size(bytes / CONNECTION_BYTES + 1).min(self.max_connections.max(1))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::for_memory(None, None)
    }
}

fn to_size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Connections, bytes of heads, the longest head, requests, instances, streams, window, buffer.
    fn limits(memory: Option<u64>) -> [usize; 8] {
        let settings = Settings::for_memory(memory, None);
        let Settings {
            max_connections,
            max_head_memory,
            max_head,
            max_requests,
            max_working,
            max_streams,
            window,
            send_buffer,
            ..
        } = settings;
        [
            max_connections,
            max_head_memory,
            max_head,
            max_requests,
            max_working,
            max_streams as usize,
            window as usize,
            send_buffer,
        ]
    }

    #[test]
    fn limits_follow_the_memory_of_the_container() {
        let (kib, mib) = (1 << 10, 1 << 20);
        assert_eq!(limits(Some(16 << 20)), [128, 2 * mib, 408 * kib, 256, 32, 32, 64 * kib, 16 * kib]);
        assert_eq!(limits(Some(64 << 20)), [512, 8 * mib, 408 * kib, 1024, 42, 128, 64 * kib, 16 * kib]);
        assert_eq!(limits(Some(128 << 20)), [1024, 16 * mib, 408 * kib, 2048, 85, 200, 128 * kib, 32 * kib]);
        assert_eq!(limits(None), [16_384, 64 * mib, 408 * kib, 4096, 1000, 200, 256 * kib, 64 * kib]);
    }

    #[test]
    fn limits_have_a_floor_for_tiny_containers() {
        assert_eq!(limits(Some(0)), [64, 1 << 20, 256 << 10, 256, 32, 32, 64 << 10, 16 << 10]);
    }

    #[test]
    fn connections_leave_a_quarter_of_the_open_files_to_guests() {
        assert_eq!(Settings::for_memory(None, Some(1024)).max_connections, 768);
        assert_eq!(Settings::for_memory(None, Some(1)).max_connections, 1);
    }

    #[test]
    fn connections_heads_and_http2_windows_stay_within_their_share() {
        for memory in [64 << 20, 128 << 20, 1 << 30] {
            let settings = Settings::for_memory(Some(memory), None);
            let connections = settings.max_connections as u64;
            let http2 = connections / settings.http2_places() as u64;
            let http2_bytes = http2 * (u64::from(settings.window) + u64::from(settings.max_streams) * STREAM_BYTES);
            assert!(connections * CONNECTION_BYTES <= memory / 4 && http2_bytes <= memory / 4, "{memory}");
            assert!(settings.max_head_memory as u64 <= memory / 8, "{memory}");
        }
    }
}
