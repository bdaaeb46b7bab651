//! A Redis of the test's own.

use std::process::Command;

use crate::http::free_port;
use crate::process::Process;
use crate::wait::{holds, wait_for};

/// A running `redis-server` on loopback.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    dir: tempfile::TempDir,
    port: u16,
}

impl Redis {
    /// Starts one and waits until it answers.
    pub fn start() -> Self {
        Self::start_on(free_port())
    }

    /// The same, on a given port: for coming back after [`Redis::stop`].
    pub fn start_on(port: u16) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]).arg(dir.path());
        let process = Process::start(&mut command, &dir.path().join("log"));
        let redis = Self { process, dir, port };
        wait_for("redis", 10, || holds(redis.cli(&["ping"]) == "PONG"));
        redis
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The answer of `redis-cli`, trimmed.
    pub fn cli(&self, args: &[&str]) -> String {
        let output = Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(args).output();
        String::from_utf8_lossy(&output.expect("redis-cli is installed").stdout).trim().to_owned()
    }

    /// Waits until somebody listens on a channel.
    pub fn wait_for_subscribers(&self, channel: &str, count: usize) {
        let wanted = format!("{channel}\n{count}");
        wait_for("subscribers", 20, || match self.cli(&["pubsub", "numsub", channel]) {
            said if said == wanted => Ok(()),
            said => Err(said),
        });
    }

    /// Ends it, to come back with [`Redis::start_on`]; its port.
    pub fn stop(mut self) -> u16 {
        self.process.end(libc::SIGKILL);
        drop(self.dir);
        self.port
    }
}
