//! The plan: what passes from the helper, outside the container, to the app's process inside it.
//!
//! It travels as JSON in a memory file, next to the descriptors it names by number.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, memfd_create};
use serde::{Deserialize, Serialize};
use spin_app::LockedApp;

/// What the app's process is to do.
#[derive(Debug, Deserialize, Serialize)]
pub struct Plan {
    /// Run, or fail readably.
    pub outcome: Outcome,
    /// The link to the daemon.
    pub link: RawFd,
    /// Where the kubelet reads a pod's last words.
    pub termination_log: PathBuf,
}

/// Whether there is anything to run.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// This app.
    Run(Box<Run>),
    /// Nothing: the process says so where people look, and ends.
    Failed(Failure),
}

/// An app with everything it needs from outside its container.
#[derive(Debug, Deserialize, Serialize)]
pub struct Run {
    /// The app.
    pub app: LockedApp,
    /// The precompiled code of each component.
    pub code: BTreeMap<String, RawFd>,
    /// The directory each component sees as `/`; none for a component without files.
    pub files: BTreeMap<String, RawFd>,
    /// The container's limit of memory in bytes.
    pub memory_limit: Option<u64>,
    /// How many processors the container's quota amounts to.
    pub cpus: Option<f64>,
}

/// Why an app can't run: a sentence for a person, and the exit code that says of what kind it is.
#[derive(Clone, Debug, Deserialize, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The process's exit code; docs/operations.md has the list.
    pub code: u8,
    /// The sentence.
    pub message: String,
}

impl Failure {
    /// No spin.toml, or a bad one.
    pub const APP: u8 = 64;
    /// What comes from outside: variables, runtime configuration, environment.
    pub const CONFIGURATION: u8 = 66;
    /// The image's content can't be read.
    pub const CONTENT: u8 = 68;
    /// Ours.
    pub const INTERNAL: u8 = 70;

    /// A failure with its sentence.
    pub fn new(code: u8, message: impl ToString) -> Self {
        Self { code, message: message.to_string() }
    }

    /// For `map_err` where only a fault of ours or of the node can be the reason.
    pub fn internal(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::new(Self::INTERNAL, format!("{what}: {error}"))
    }
}

impl Plan {
    /// Writes it into a memory file.
    pub fn to_file(&self) -> io::Result<OwnedFd> {
        let mut file = File::from(memfd_create("plan", MemfdFlags::CLOEXEC)?);
        file.write_all(&serde_json::to_vec(self)?)?;
        Ok(file.into())
    }

    /// Reads it from there.
    pub fn from_file(file: OwnedFd) -> io::Result<Self> {
        let mut file = File::from(file);
        let mut text = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_arrives_as_it_was_sent() {
        let run = Run {
            app: LockedApp::default(),
            code: BTreeMap::from([("hello".to_owned(), 7)]),
            files: BTreeMap::new(),
            memory_limit: Some(64 << 20),
            cpus: Some(0.5),
        };
        let plan = Plan { outcome: Outcome::Run(Box::new(run)), link: 5, termination_log: "/dev/termination-log".into() };
        let arrived = Plan::from_file(plan.to_file().expect("written")).expect("read");
        assert_eq!(format!("{arrived:?}"), format!("{plan:?}"));
    }
}
