//! The process's environment, read once.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use spin_runtime::EngineSettings;

use crate::plan::Failure;

/// What the environment decides.
#[derive(Debug, PartialEq)]
pub struct Settings {
    /// `SPIN_HTTP_LISTEN_ADDR`: where HTTP triggers listen; 0.0.0.0:80.
    pub listen: SocketAddr,
    /// `SPIN_HTTP_REQUEST_TIMEOUT`: seconds a component may work on a request; as long as it likes.
    pub request_timeout: Option<Duration>,
    /// `SPIN_HTTP_INSTANCE_REUSE`: how many requests an instance answers before it is dropped; as its kind expects.
    pub reuse: Option<usize>,
    /// `SPIN_HTTP_LINGER`: seconds for which a port stays open after SIGTERM, because load balancers learn of it late; 2.
    pub linger: Option<Duration>,
    /// `SPIN_REDIS_MAX_MESSAGES`: messages in work at once.
    pub max_messages: Option<NonZeroUsize>,
    /// `SPIN_REDIS_MESSAGE_TIMEOUT`: seconds a component may work on a message; as long as it likes.
    pub message_timeout: Option<Duration>,
    /// `SPIN_SHUTDOWN_GRACE`: seconds that work in flight may take after SIGTERM; 30.
    pub grace: Duration,
    /// `SPIN_MAX_INSTANCE_COUNT`: instances at once; 1000.
    pub max_instances: u32,
    /// `SPIN_MAX_INSTANCE_MEMORY`: bytes an instance may use; what its modules say.
    pub max_instance_memory: Option<u64>,
    /// `SPIN_WASMTIME_POOLING`: 0 where address space is scarce; 1.
    pub pooling: bool,
    /// `SPIN_WORKERS`: threads that serve; as many as the container has processors.
    pub workers: usize,
    /// All of it, for the app's variables.
    pub env: Vec<(String, String)>,
}

impl Settings {
    /// Reads the variables; `cpus` is the container's quota of processors, if it has one.
    pub fn read(env: impl Iterator<Item = (OsString, OsString)>, cpus: Option<f64>) -> Result<Self, Failure> {
        // Guests see text only; what is none can't be meant for us.
        let env: Vec<(String, String)> =
            env.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect();
        let env = Environment(env);
        Ok(Self {
            listen: env
                .value("SPIN_HTTP_LISTEN_ADDR", "an address with a port, as 0.0.0.0:80")?
                .unwrap_or(([0, 0, 0, 0], 80).into()),
            request_timeout: env.seconds("SPIN_HTTP_REQUEST_TIMEOUT")?,
            reuse: env.value("SPIN_HTTP_INSTANCE_REUSE", "a number")?,
            linger: env.seconds("SPIN_HTTP_LINGER")?,
            max_messages: env.value("SPIN_REDIS_MAX_MESSAGES", "a number above 0")?,
            message_timeout: env.seconds("SPIN_REDIS_MESSAGE_TIMEOUT")?,
            grace: env.seconds("SPIN_SHUTDOWN_GRACE")?.unwrap_or(Duration::from_secs(30)),
            max_instances: env.value("SPIN_MAX_INSTANCE_COUNT", "a number")?.unwrap_or(EngineSettings::default().max_instances),
            max_instance_memory: env.value("SPIN_MAX_INSTANCE_MEMORY", "a number of bytes")?,
            pooling: env.value::<u8>("SPIN_WASMTIME_POOLING", "0 or 1")?.unwrap_or(1) != 0,
            workers: env.value("SPIN_WORKERS", "a number above 0")?.map_or_else(|| workers(cpus), NonZeroUsize::get),
            env: env.0,
        })
    }
}

/// As many as the container's quota of processors gives time for, and no more than there are.
pub fn workers(cpus: Option<f64>) -> usize {
    let there_are = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    // The cast saturates, so that any quota gives a count.
    cpus.map_or(there_are, |cpus| cpus.ceil() as usize).clamp(1, there_are)
}

struct Environment(Vec<(String, String)>);

impl Environment {
    /// An empty variable counts as unset: manifests often have one with nothing in it.
    fn value<T: FromStr>(&self, name: &str, expected: &str) -> Result<Option<T>, Failure> {
        let text = self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim()).filter(|value| !value.is_empty());
        let Some(text) = text else { return Ok(None) };
        let bad =
            |_| Failure::new(Failure::CONFIGURATION, format!("environment variable {name} is {text:?}, but must be {expected}"));
        text.parse().map(Some).map_err(bad)
    }

    fn seconds(&self, name: &str) -> Result<Option<Duration>, Failure> {
        let expected = "a number of seconds";
        let Some(seconds) = self.value::<f64>(name, expected)? else { return Ok(None) };
        let bad =
            |_| Failure::new(Failure::CONFIGURATION, format!("environment variable {name} is {seconds}, but must be {expected}"));
        Duration::try_from_secs_f64(seconds).map(Some).map_err(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(env: &[(&str, &str)]) -> Result<Settings, Failure> {
        Settings::read(env.iter().map(|(name, value)| (name.into(), value.into())), Some(0.5))
    }

    #[test]
    fn an_empty_environment_gives_what_users_of_the_shim_expect() {
        let settings = read(&[]).expect("defaults");
        assert_eq!((settings.listen.to_string().as_str(), settings.workers, settings.max_instances), ("0.0.0.0:80", 1, 1000));
        assert_eq!(settings.grace, Duration::from_secs(30));
    }

    #[test]
    fn values_are_read_and_empty_ones_are_not() {
        let env = [("SPIN_HTTP_LISTEN_ADDR", "[::]:8080"), ("SPIN_SHUTDOWN_GRACE", "0.5"), ("SPIN_MAX_INSTANCE_MEMORY", "")];
        let settings = read(&env).expect("good values");
        assert_eq!((settings.listen.port(), settings.grace), (8080, Duration::from_millis(500)));
        assert_eq!(settings.max_instance_memory, None);
    }

    #[test]
    fn a_bad_value_is_named_with_its_variable() {
        for (name, value) in [("SPIN_HTTP_LISTEN_ADDR", "80"), ("SPIN_SHUTDOWN_GRACE", "-1"), ("SPIN_REDIS_MAX_MESSAGES", "0")] {
            let failure = read(&[(name, value)]).expect_err("refused");
            assert_eq!(failure.code, 66);
            assert!(failure.message.contains(name) && failure.message.contains(value), "{failure}");
        }
    }
}
