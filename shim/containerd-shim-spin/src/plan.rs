//! The plan: what passes from outside the container, where the app was prepared, to the app's process inside it.
//!
//! It travels over a socket, as JSON in a memory file, before the descriptors that it tells by their places.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, memfd_create};
use serde::{Deserialize, Serialize};
use spin_app::{LockedApp, VolumeDirectory};

use crate::sys;

/// What the app's process is to do.
#[derive(Debug, Deserialize, Serialize)]
pub struct Plan {
    /// Run, or fail readably.
    pub outcome: Outcome,
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

/// An app with everything it needs from outside its container; descriptors by their places among [`Descriptors`].
#[derive(Debug, Deserialize, Serialize)]
pub struct Run {
    /// The app.
    pub app: LockedApp,
    /// The precompiled code of each component.
    pub code: BTreeMap<String, usize>,
    /// The directory each component sees as `/`; none for a component without files.
    pub files: BTreeMap<String, usize>,
    /// The container's limit of memory in bytes.
    pub memory_limit: Option<u64>,
    /// How many processors the container's quota amounts to.
    pub cpus: Option<f64>,
    /// The container's environment. It is not passed by execve, which limits a variable to 128 KiB and all of them together
    /// to a quarter of the stack's limit.
    pub env: BTreeMap<String, String>,
    /// Where the pod's volumes are mounted.
    pub volumes: Vec<PathBuf>,
    /// What each component sees of them.
    pub volume_directories: BTreeMap<String, Vec<VolumeDirectory>>,
    /// The first word of the container's command, where that asks for something else than the app.
    pub ignored_command: Option<String>,
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
    /// Reads the text of the memory file.
    pub fn parse(json: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(json)
    }

    /// Sends it with its descriptors, though nobody may read them for a long time.
    pub fn send(&self, descriptors: &[OwnedFd], socket: &UnixStream) -> io::Result<()> {
        let mut file = File::from(memfd_create("plan", MemfdFlags::CLOEXEC)?);
        file.write_all(&serde_json::to_vec(self)?)?;
        file.rewind()?;
        let all: Vec<BorrowedFd<'_>> = [file.as_fd()].into_iter().chain(descriptors.iter().map(AsFd::as_fd)).collect();
        sys::send_fds(socket.as_fd(), &all)
    }

    /// Receives it.
    pub fn receive(socket: &UnixStream) -> io::Result<(Self, Descriptors)> {
        let mut all = sys::receive_fds(socket.as_fd())?.into_iter();
        let mut file = File::from(all.next().ok_or(io::ErrorKind::UnexpectedEof)?);
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        Ok((Self::parse(&text)?, Descriptors(all.map(Some).collect())))
    }
}

/// What came with a plan. Those that nobody takes stay open as long as this lives: locks.
#[derive(Debug)]
pub struct Descriptors(Vec<Option<OwnedFd>>);

impl Descriptors {
    /// The one in this place, which each has once.
    pub fn take(&mut self, place: usize) -> io::Result<OwnedFd> {
        let found = self.0.get_mut(place).and_then(Option::take);
        // The kernel leaves out what is more than a process may have.
        found.ok_or_else(|| io::Error::other("it did not arrive; the container's limit of open files may be too low"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let run = Run {
            app: LockedApp::default(),
            code: BTreeMap::from([("hello".to_owned(), 1)]),
            files: BTreeMap::new(),
            memory_limit: Some(64 << 20),
            cpus: Some(0.5),
            env: BTreeMap::from([("LARGE".to_owned(), "x".repeat(200_000))]),
            volumes: vec!["/.spin".into()],
            volume_directories: BTreeMap::new(),
            ignored_command: Some("/bin/sh".to_owned()),
        };
        Plan { outcome: Outcome::Run(Box::new(run)), termination_log: "/dev/termination-log".into() }
    }

    #[test]
    fn a_plan_arrives_as_it_was_sent_with_each_descriptor_in_its_place() {
        let (near, far) = UnixStream::pair().expect("a pair");
        let files = ["lock", "code"].map(|text| {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(text.as_bytes()).and_then(|()| file.rewind()).expect("written");
            OwnedFd::from(file)
        });
        plan().send(&files, &near).expect("sent");
        drop(near);
        let (arrived, mut descriptors) = Plan::receive(&far).expect("received");
        assert_eq!(format!("{arrived:?}"), format!("{:?}", plan()));
        let code = io::read_to_string(File::from(descriptors.take(1).expect("there")));
        assert_eq!(code.expect("read"), "code");
        assert!(descriptors.take(1).is_err() && descriptors.take(2).is_err());
    }

    #[test]
    fn no_plan_is_an_error() {
        let (near, far) = UnixStream::pair().expect("a pair");
        drop(near);
        let error = Plan::receive(&far).expect_err("nothing came");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
