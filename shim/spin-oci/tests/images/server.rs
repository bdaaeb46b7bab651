//! A real registry of a test's own. Where `docker-registry` is not installed, the test fails.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::tokens::{ISSUER, SERVICE, TokenService};

/// The password `pizza` of the user `cook`, as the registry keeps it.
const USERS: &str = "cook:$2b$04$hD6VXR05gvr8D/J5DceYbuEECLGiVJEwkVX7SpmKVVucI60k6qEa6\n";

/// A running registry on a port the system chose; it ends with this value.
pub struct Registry {
    process: Child,
    _data: TempDir,
    host: String,
}

impl Registry {
    /// For everybody.
    pub fn open() -> Self {
        Self::start("")
    }

    /// For the user `cook` with the password `pizza`.
    pub fn guarded() -> Self {
        Self::start("auth: {htpasswd: {realm: test, path: DATA/users}}\n")
    }

    /// For those who bring a token of this service.
    pub fn with_tokens(service: &TokenService) -> Self {
        let (realm, bundle) = (service.realm(), service.certificate());
        Self::start(&format!(
            "auth: {{token: {{realm: '{realm}', service: {SERVICE}, issuer: {ISSUER}, rootcertbundle: {}}}}}\n",
            bundle.display()
        ))
    }

    fn start(more: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let config =
            format!("version: 0.1\nstorage: {{filesystem: {{rootdirectory: DATA}}}}\nhttp: {{addr: 127.0.0.1:0}}\n{more}");
        fs::write(data.path().join("users"), USERS).unwrap();
        fs::write(data.path().join("config.yml"), config.replace("DATA", data.path().to_str().unwrap())).unwrap();
        let mut command = Command::new("docker-registry");
        command
            .arg("serve")
            .arg(data.path().join("config.yml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = command.spawn().expect("docker-registry is installed");
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let host = log.find_map(listening).expect("the registry listens");
        // Its log goes on; a pipe nobody empties would stop it.
        std::thread::spawn(move || log.for_each(drop));
        Self { process, _data: data, host }
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// The address in the line that says it.
fn listening(line: std::io::Result<String>) -> Option<String> {
    let line = line.ok()?;
    let address = line.split_once("listening on ")?.1;
    Some(address.split(['"', ' ', ',']).next()?.to_owned())
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
