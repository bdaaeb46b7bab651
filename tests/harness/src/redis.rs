//! A Redis of the test's own.

use std::path::PathBuf;
use std::process::Command;

use crate::http::free_port;
use crate::process::{Process, run};
use crate::wait::{holds, wait_for};

const TLS_OPTIONS: [&str; 8] =
    ["--tls-cert-file", "server.crt", "--tls-key-file", "server.key", "--tls-ca-cert-file", "ca.crt", "--tls-auth-clients", "no"];

/// A running `redis-server` on loopback.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    dir: tempfile::TempDir,
    port: u16,
    tls: bool,
}

impl Redis {
    /// Starts one and waits until it answers.
    pub fn start() -> Self {
        Self::start_on(free_port())
    }

    /// The same, on a given port: for coming back after [`Redis::stop`].
    pub fn start_on(port: u16) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self::start_in(dir, port, false)
    }

    /// Starts one that is reached by TLS alone, as `localhost`, with a certificate of the authority in
    /// [`Redis::authority`].
    pub fn start_tls() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let openssl = |options: &str| {
            let key = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
            run(Command::new("openssl").args(key.split(' ')).args(options.split(' ')).current_dir(dir.path()));
        };
        openssl("-keyout ca.key -out ca.crt -subj /CN=authority");
        openssl(
            "-keyout server.key -out server.crt -subj /CN=server -CA ca.crt -CAkey ca.key \
             -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE",
        );
        Self::start_in(dir, free_port(), true)
    }

    fn start_in(dir: tempfile::TempDir, port: u16, tls: bool) -> Self {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--dir"]).arg(dir.path());
        match tls {
            true => command.args(["--port", "0", "--tls-port", &port.to_string()]).args(TLS_OPTIONS),
            false => command.args(["--port", &port.to_string()]),
        };
        let log = dir.path().join("log");
        let process = Process::start(command.current_dir(dir.path()), &log);
        let redis = Self { process, dir, port, tls };
        wait_for("redis", 10, || holds(redis.cli(&["ping"]) == "PONG"));
        redis
    }

    /// Its address.
    pub fn address(&self) -> String {
        match self.tls {
            true => format!("rediss://localhost:{}", self.port),
            false => format!("redis://127.0.0.1:{}", self.port),
        }
    }

    /// The file of the authority that its certificate is from, where it is reached by TLS.
    pub fn authority(&self) -> PathBuf {
        self.dir.path().join("ca.crt")
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The answer of `redis-cli`, trimmed.
    pub fn cli(&self, args: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string()]);
        if self.tls {
            command.args(["-h", "localhost", "--tls", "--cacert"]).arg(self.authority());
        }
        let output = command.args(args).output();
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
