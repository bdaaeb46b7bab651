//! A real OCI registry of the test's own.

use std::fs;
use std::process::Command;

use crate::http::{free_port, get};
use crate::process::Process;
use crate::wait::wait_for;

/// A running `docker-registry` on loopback, plain HTTP.
#[derive(Debug)]
pub struct Registry {
    _process: Process,
    _dir: tempfile::TempDir,
    host: String,
}

impl Registry {
    /// Starts one and waits until it answers.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let host = format!("127.0.0.1:{}", free_port());
        let config = dir.path().join("config.yml");
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {host}}}\n",
            dir.path().join("data").display()
        );
        fs::write(&config, text).expect("the configuration can be written");
        let process = Process::start(Command::new("docker-registry").arg("serve").arg(&config), &dir.path().join("log"));
        wait_for("the registry", 20, || get(&format!("http://{host}/v2/")).map(drop));
        Self { _process: process, _dir: dir, host }
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> &str {
        &self.host
    }
}
