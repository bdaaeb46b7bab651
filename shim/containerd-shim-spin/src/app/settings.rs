//! The container's environment, read once.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use spin_runtime::H2cServers;
use spin_trigger_http::Capacity;

use crate::plan::Failure;

/// A year: short enough to be added to any clock.
const MAX_TIME: Duration = Duration::from_secs(31_536_000);
/// Threads that serve: more than the processors of the largest machines.
const MAX_WORKERS: usize = 4096;
/// Instances or messages in work, and requests of one instance: what the pools and semaphores below take.
const MAX_COUNT: u32 = 1 << 20;

/// What the environment decides.
#[derive(Debug, PartialEq)]
pub struct Settings {
    /// `SPIN_HTTP_LISTEN_ADDR`: where HTTP triggers listen; port 80 of every address.
    pub listen: Option<SocketAddr>,
    /// The limits of HTTP triggers.
    pub http: HttpLimits,
    /// `SPIN_HTTP_REQUEST_TIMEOUT`: seconds without progress after which a request is ended; 120. 0: no limit.
    pub request_timeout: Option<Duration>,
    /// `SPIN_HTTP_INSTANCE_REUSE`: how many requests an instance answers before it is dropped; as its kind expects.
    pub reuse: Option<u32>,
    /// `SPIN_HTTP_BUSY_POLL_US`: microseconds for which a worker looks for the next request before it sleeps, at most a second; 0 where the container's
    /// quota of processors is less than one for each worker, 100 otherwise.
    pub busy_poll: Duration,
    /// `SPIN_HTTP_LINGER`: seconds for which a port stays open after SIGTERM, because load balancers learn of it late; 3.
    pub linger: Option<Duration>,
    /// `SPIN_REDIS_MAX_MESSAGES`: messages in work at once.
    pub max_messages: Option<u32>,
    /// `SPIN_REDIS_MAX_MESSAGE_SIZE`: bytes of a message, 1024 to 512 MiB, which is Redis' own limit; by memory.
    pub max_message_bytes: Option<u64>,
    /// `SPIN_REDIS_MESSAGE_TIMEOUT`: seconds a component may work on a message; 3600. 0: no limit.
    pub message_timeout: Option<Duration>,
    /// `SPIN_OUTBOUND_H2C_PRIOR_KNOWLEDGE`: servers that plain HTTP requests of components reach by HTTP/2.
    pub h2c_servers: H2cServers,
    /// `SPIN_SHUTDOWN_GRACE`: seconds that work in flight may take after SIGTERM; 30.
    pub grace: Duration,
    /// `SPIN_MAX_INSTANCE_COUNT`: instances at once; as many as the container's memory has room for, at most 1000.
    pub max_instances: Option<u32>,
    /// `SPIN_MAX_INSTANCE_MEMORY`: bytes an instance may use; what its modules say.
    pub max_instance_memory: Option<u64>,
    /// `SPIN_WASMTIME_POOLING`: 0 where address space is scarce; 1.
    pub pooling: bool,
    /// `SPIN_WORKERS`: threads that serve; as many as the container has processors.
    pub workers: usize,
    /// The values of `workers` and `busy_poll` that the environment sets. These do not follow the quota.
    fixed: Fixed,
    /// `SPIN_RUNTIME_CONFIG_FILE`: the runtime config, in a volume; `/runtime-config.toml` where that is one.
    pub runtime_config: Option<PathBuf>,
    /// All of it, for the app's variables.
    pub env: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Fixed {
    workers: Option<usize>,
    busy_poll: Option<Duration>,
}

/// The limits of HTTP triggers that the environment sets. None: `spin_trigger_http::Settings::for_memory`
/// derives the limit from the container's memory.
#[derive(Debug, Default, PartialEq)]
pub struct HttpLimits {
    /// `SPIN_HTTP_MAX_CONNECTIONS`: open connections.
    pub connections: Option<usize>,
    /// `SPIN_HTTP1_MAX_BUF_SIZE`: bytes of a request's head, at least 8192. `spin up` uses the same name.
    pub head: Option<usize>,
    /// `SPIN_HTTP_MAX_HEAD_MEMORY`: bytes of all request heads together, at least 65536.
    pub head_memory: Option<usize>,
    /// `SPIN_HTTP2_MAX_STREAMS`: streams of an HTTP/2 connection, at least 1.
    pub streams: Option<u32>,
    /// `SPIN_HTTP2_WINDOW_SIZE`: bytes of request bodies that an HTTP/2 client may send ahead, 65535 to 2^31 - 1.
    pub window: Option<u32>,
    /// `SPIN_HTTP_SEND_BUFFER_SIZE`: bytes of a response that wait for the client, 8192 to 2^30.
    pub send_buffer: Option<usize>,
    /// `SPIN_HTTP_MAX_BODY`: bytes of a request's body.
    pub body: Option<u64>,
    /// `SPIN_HTTP_HEAD_TIMEOUT`: seconds in which a client has to complete a request's head.
    pub head_timeout: Option<Duration>,
    /// `SPIN_HTTP_IDLE_TIMEOUT`: seconds after which a connection without a request is closed.
    pub idle_timeout: Option<Duration>,
    /// `SPIN_HTTP_STALL_TIMEOUT`: seconds after which a client is dropped that neither sends a body nor reads a response.
    pub stall_timeout: Option<Duration>,
}

impl HttpLimits {
    fn read(env: &Environment) -> Result<Self, Failure> {
        Ok(Self {
            connections: env.number("SPIN_HTTP_MAX_CONNECTIONS", 1..=MAX_COUNT as usize)?,
            // hyper takes no shorter limit.
            head: env.number("SPIN_HTTP1_MAX_BUF_SIZE", 8192..=1 << 30)?,
            head_memory: env.number("SPIN_HTTP_MAX_HEAD_MEMORY", 65_536..=1 << 40)?,
            streams: env.number("SPIN_HTTP2_MAX_STREAMS", 1..=MAX_COUNT)?,
            // HTTP/2 begins with a window of 65,535 bytes for a connection, which can only grow.
            window: env.number("SPIN_HTTP2_WINDOW_SIZE", 65_535..=(1 << 31) - 1)?,
            send_buffer: env.number("SPIN_HTTP_SEND_BUFFER_SIZE", 8192..=1 << 30)?,
            body: env.value("SPIN_HTTP_MAX_BODY", "a number of bytes")?,
            head_timeout: env.positive_seconds("SPIN_HTTP_HEAD_TIMEOUT")?,
            idle_timeout: env.positive_seconds("SPIN_HTTP_IDLE_TIMEOUT")?,
            stall_timeout: env.positive_seconds("SPIN_HTTP_STALL_TIMEOUT")?,
        })
    }
}

impl Settings {
    /// Reads the variables; `cpus` is the container's quota of processors, if it has one.
    pub fn read(env: BTreeMap<String, String>, cpus: Option<f64>) -> Result<Self, Failure> {
        let env = Environment(env);
        let fixed = Fixed {
            workers: env.number("SPIN_WORKERS", 1..=MAX_WORKERS)?,
            busy_poll: env.number("SPIN_HTTP_BUSY_POLL_US", 0..=1_000_000)?.map(Duration::from_micros),
        };
        let Capacity { workers, busy_poll } = fixed.capacity(cpus);
        Ok(Self {
            listen: env.value("SPIN_HTTP_LISTEN_ADDR", "an address with a port, as 0.0.0.0:80")?,
            http: HttpLimits::read(&env)?,
            request_timeout: env
                .time_limit("SPIN_HTTP_REQUEST_TIMEOUT")?
                .unwrap_or(spin_trigger_http::Settings::default().request_timeout),
            reuse: env.number("SPIN_HTTP_INSTANCE_REUSE", 1..=MAX_COUNT)?,
            busy_poll,
            linger: env.seconds("SPIN_HTTP_LINGER")?,
            max_messages: env.number("SPIN_REDIS_MAX_MESSAGES", 1..=MAX_COUNT)?,
            max_message_bytes: env.number("SPIN_REDIS_MAX_MESSAGE_SIZE", 1024..=512 << 20)?,
            message_timeout: env
                .time_limit("SPIN_REDIS_MESSAGE_TIMEOUT")?
                .unwrap_or(spin_trigger_redis::Settings::default().message_timeout),
            h2c_servers: env
                .value("SPIN_OUTBOUND_H2C_PRIOR_KNOWLEDGE", "a list of HOST[:PORT], separated by commas")?
                .unwrap_or_default(),
            grace: env.seconds("SPIN_SHUTDOWN_GRACE")?.unwrap_or(Duration::from_secs(30)),
            max_instances: env.number("SPIN_MAX_INSTANCE_COUNT", 1..=MAX_COUNT)?,
            max_instance_memory: env.value("SPIN_MAX_INSTANCE_MEMORY", "a number of bytes above 0")?.map(NonZeroU64::get),
            pooling: env.number("SPIN_WASMTIME_POOLING", 0..=1)?.unwrap_or(1) != 0,
            workers,
            fixed,
            runtime_config: env.value("SPIN_RUNTIME_CONFIG_FILE", "a path")?,
            env: env.0.into_iter().collect(),
        })
    }

    /// The capacity of an HTTP server with another quota of processors.
    pub fn capacity(&self, cpus: Option<f64>) -> Capacity {
        self.fixed.capacity(cpus)
    }

    /// Follows another quota of processors, before anything serves.
    pub fn set_capacity(&mut self, Capacity { workers, busy_poll }: Capacity) {
        (self.workers, self.busy_poll) = (workers, busy_poll);
    }
}

impl Fixed {
    fn capacity(&self, cpus: Option<f64>) -> Capacity {
        let workers = self.workers.unwrap_or_else(|| workers(cpus));
        Capacity { workers, busy_poll: self.busy_poll.unwrap_or_else(|| busy_poll(cpus, workers)) }
    }
}

/// As many as the container's quota of processors gives time for, and no more than there are.
pub fn workers(cpus: Option<f64>) -> usize {
    let there_are = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    // The cast saturates, so that any quota gives a count.
    cpus.map_or(there_are, |cpus| cpus.ceil() as usize).clamp(1, there_are)
}

/// A worker that may be stopped in the midst of its work, its quota being spent, spends none of it on looking.
fn busy_poll(cpus: Option<f64>, workers: usize) -> Duration {
    match cpus.is_none_or(|cpus| cpus >= workers as f64) {
        true => spin_trigger_http::Settings::default().busy_poll,
        false => Duration::ZERO,
    }
}

struct Environment(BTreeMap<String, String>);

impl Environment {
    /// An empty variable counts as unset: manifests often have one with nothing in it.
    fn value<T: FromStr>(&self, name: &str, expected: &str) -> Result<Option<T>, Failure> {
        let text = self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
        let Some(text) = text else { return Ok(None) };
        text.parse().map(Some).map_err(|_| bad(name, format_args!("{text:?}"), expected))
    }

    fn number<T: FromStr + PartialOrd + Display>(&self, name: &str, allowed: RangeInclusive<T>) -> Result<Option<T>, Failure> {
        let expected = format!("a number from {} to {}", allowed.start(), allowed.end());
        match self.value(name, &expected)? {
            Some(number) if !allowed.contains(&number) => Err(bad(name, number, &expected)),
            number => Ok(number),
        }
    }

    /// A time of at most [`MAX_TIME`].
    fn seconds(&self, name: &str) -> Result<Option<Duration>, Failure> {
        let expected = "a number of seconds, at most 31536000";
        let Some(seconds) = self.value::<f64>(name, expected)? else { return Ok(None) };
        match Duration::try_from_secs_f64(seconds) {
            Ok(time) if time <= MAX_TIME => Ok(Some(time)),
            _ => Err(bad(name, seconds, expected)),
        }
    }

    /// A time limit; `Some(None)`: 0 was given, which means no limit.
    fn time_limit(&self, name: &str) -> Result<Option<Option<Duration>>, Failure> {
        Ok(self.seconds(name)?.map(|limit| Some(limit).filter(|limit| !limit.is_zero())))
    }

    /// A number of seconds above 0.
    fn positive_seconds(&self, name: &str) -> Result<Option<Duration>, Failure> {
        match self.seconds(name)? {
            Some(Duration::ZERO) => Err(bad(name, 0, "a number of seconds above 0")),
            seconds => Ok(seconds),
        }
    }
}

fn bad(name: &str, value: impl Display, expected: &str) -> Failure {
    Failure::new(Failure::CONFIGURATION, format!("environment variable {name} is {value}, but must be {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
        variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn read(env: &[(&str, &str)]) -> Result<Settings, Failure> {
        Settings::read(environment(env), Some(0.5))
    }

    #[test]
    fn an_empty_environment_gives_what_users_of_the_shim_expect() {
        let settings = read(&[]).expect("defaults");
        assert_eq!((settings.listen, settings.workers, settings.max_instances), (None, 1, None));
        assert_eq!(settings.grace, Duration::from_secs(30));
    }

    #[test]
    fn values_are_read_and_empty_ones_are_not() {
        let env = [("SPIN_HTTP_LISTEN_ADDR", "[::]:8080"), ("SPIN_SHUTDOWN_GRACE", "0.5"), ("SPIN_MAX_INSTANCE_MEMORY", "")];
        let settings = read(&env).expect("good values");
        assert_eq!(settings.listen, "[::]:8080".parse().ok());
        assert_eq!((settings.grace, settings.max_instance_memory), (Duration::from_millis(500), None));
    }

    #[test]
    fn servers_of_plain_http2_are_read() {
        let settings = read(&[("SPIN_OUTBOUND_H2C_PRIOR_KNOWLEDGE", "grpc:8080, other")]).expect("good value");
        assert_eq!(settings.h2c_servers, "grpc:8080,other:80".parse().expect("servers"));
        assert_eq!(read(&[]).expect("defaults").h2c_servers, H2cServers::default());
    }

    #[test]
    fn limits_of_http_are_read() {
        let env = [
            ("SPIN_HTTP_MAX_CONNECTIONS", "10"),
            ("SPIN_HTTP1_MAX_BUF_SIZE", "8192"),
            ("SPIN_HTTP_MAX_HEAD_MEMORY", "65536"),
            ("SPIN_HTTP2_MAX_STREAMS", "1"),
            ("SPIN_HTTP2_WINDOW_SIZE", "2147483647"),
            ("SPIN_HTTP_SEND_BUFFER_SIZE", "8192"),
            ("SPIN_HTTP_MAX_BODY", "0"),
            ("SPIN_HTTP_HEAD_TIMEOUT", "1"),
            ("SPIN_HTTP_IDLE_TIMEOUT", "2.5"),
            ("SPIN_HTTP_STALL_TIMEOUT", "3"),
        ];
        let [head_timeout, idle_timeout, stall_timeout] = [1.0, 2.5, 3.0].map(|time| Some(Duration::from_secs_f64(time)));
        let (connections, head, head_memory, body) = (Some(10), Some(8192), Some(65_536), Some(0));
        let (streams, window, send_buffer) = (Some(1), Some(2_147_483_647), Some(8192));
        let (sizes, times) = ((connections, head, head_memory, streams), (head_timeout, idle_timeout, stall_timeout));
        let http = read(&env).expect("good values").http;
        assert_eq!((http.connections, http.head, http.head_memory, http.streams), sizes);
        assert_eq!((http.window, http.send_buffer, http.body), (window, send_buffer, body));
        assert_eq!((http.head_timeout, http.idle_timeout, http.stall_timeout), times);
    }

    #[test]
    fn time_limits_have_defaults_and_0_is_none() {
        let limits = |env: &[(&str, &str)]| {
            let settings = read(env).expect("good values");
            [settings.request_timeout, settings.message_timeout].map(|limit| limit.map(|limit| limit.as_secs()))
        };
        assert_eq!(limits(&[]), [Some(120), Some(3600)]);
        assert_eq!(limits(&[("SPIN_HTTP_REQUEST_TIMEOUT", "0"), ("SPIN_REDIS_MESSAGE_TIMEOUT", "0.0")]), [None, None]);
        assert_eq!(
            limits(&[("SPIN_HTTP_REQUEST_TIMEOUT", "31536000"), ("SPIN_REDIS_MESSAGE_TIMEOUT", "5")]),
            [Some(31_536_000), Some(5)]
        );
    }

    #[test]
    fn a_worker_looks_for_requests_unless_its_quota_is_short_or_it_is_told_otherwise() {
        let busy_poll =
            |cpus, env: &[(&str, &str)]| Settings::read(environment(env), cpus).expect("good values").busy_poll.as_micros();
        assert_eq!([None, Some(1.0), Some(0.5)].map(|cpus| busy_poll(cpus, &[])), [100, 100, 0]);
        assert_eq!(busy_poll(Some(1.0), &[("SPIN_WORKERS", "2")]), 0);
        assert_eq!([None, Some(0.5)].map(|cpus| busy_poll(cpus, &[("SPIN_HTTP_BUSY_POLL_US", "30")])), [30, 30]);
    }

    #[test]
    fn capacity_follows_the_quota_as_far_as_the_environment_sets_nothing() {
        let capacity = |env: &[(&str, &str)], cpus| {
            let Capacity { workers, busy_poll } = read(env).expect("good values").capacity(cpus);
            (workers, busy_poll.as_micros())
        };
        assert_eq!([Some(0.2), Some(1.0), Some(0.0)].map(|cpus| capacity(&[], cpus)), [(1, 0), (1, 100), (1, 0)]);
        assert_eq!(capacity(&[], None).0, workers(None));
        assert_eq!(capacity(&[("SPIN_WORKERS", "3")], Some(1.0)), (3, 0));
        assert_eq!(capacity(&[("SPIN_HTTP_BUSY_POLL_US", "30")], Some(0.5)), (1, 30));
    }

    #[test]
    fn a_bad_value_is_named_with_its_variable() {
        let bad = [
            ("SPIN_HTTP_LISTEN_ADDR", "80"),
            ("SPIN_SHUTDOWN_GRACE", "-1"),
            ("SPIN_SHUTDOWN_GRACE", "1000000000000000000"),
            ("SPIN_HTTP_LINGER", "31536001"),
            ("SPIN_HTTP_REQUEST_TIMEOUT", "inf"),
            ("SPIN_REDIS_MESSAGE_TIMEOUT", "NaN"),
            ("SPIN_REDIS_MAX_MESSAGES", "0"),
            ("SPIN_REDIS_MAX_MESSAGES", "1048577"),
            ("SPIN_REDIS_MAX_MESSAGE_SIZE", "1023"),
            ("SPIN_REDIS_MAX_MESSAGE_SIZE", "536870913"),
            ("SPIN_HTTP_BUSY_POLL_US", "1000001"),
            ("SPIN_HTTP_INSTANCE_REUSE", "0"),
            ("SPIN_WORKERS", "0"),
            ("SPIN_WORKERS", "4097"),
            ("SPIN_MAX_INSTANCE_COUNT", "0"),
            ("SPIN_MAX_INSTANCE_COUNT", "1048577"),
            ("SPIN_MAX_INSTANCE_COUNT", "many"),
            ("SPIN_MAX_INSTANCE_MEMORY", "0"),
            ("SPIN_MAX_INSTANCE_MEMORY", "64Mi"),
            ("SPIN_WASMTIME_POOLING", "2"),
            ("SPIN_HTTP_MAX_CONNECTIONS", "0"),
            ("SPIN_HTTP_MAX_CONNECTIONS", "many"),
            ("SPIN_HTTP1_MAX_BUF_SIZE", "8191"),
            ("SPIN_HTTP1_MAX_BUF_SIZE", "64k"),
            ("SPIN_HTTP_MAX_HEAD_MEMORY", "65535"),
            ("SPIN_HTTP2_MAX_STREAMS", "0"),
            ("SPIN_HTTP2_WINDOW_SIZE", "65534"),
            ("SPIN_HTTP2_WINDOW_SIZE", "2147483648"),
            ("SPIN_HTTP_SEND_BUFFER_SIZE", "8191"),
            ("SPIN_HTTP_SEND_BUFFER_SIZE", "1073741825"),
            ("SPIN_HTTP_MAX_BODY", "-1"),
            ("SPIN_HTTP_HEAD_TIMEOUT", "0"),
            ("SPIN_HTTP_IDLE_TIMEOUT", "0"),
            ("SPIN_HTTP_STALL_TIMEOUT", "soon"),
            ("SPIN_HTTP_LINGER", "-0.5"),
            ("SPIN_OUTBOUND_H2C_PRIOR_KNOWLEDGE", "http://grpc:8080"),
            ("SPIN_OUTBOUND_H2C_PRIOR_KNOWLEDGE", "grpc:8080,,"),
        ];
        for (name, value) in bad {
            let failure = read(&[(name, value)]).expect_err("refused");
            assert_eq!(failure.code, 66);
            assert!(failure.message.contains(name) && failure.message.contains(value), "{failure}");
        }
    }
}
