//! What a helper process and the container's own process tell the daemon: one JSON object a line, on one pipe.
//!
//! The writing end passes from the helper to the container's first process, and closes by itself when that runs a foreign program. So
//! the daemon learns everything from one reader: a line, or the end.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

use crate::cgroup::Cgroup;

/// The longest line the daemon reads: the container's process may be compromised when it writes.
pub const LONGEST: u64 = 64 * 1024;

/// One line.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The helper: the container exists and waits for its start.
    Created {
        /// Of its first process, as the daemon sees it.
        pid: u32,
        /// A Spin app, which says itself when it is ready; anything else is running once it is executed.
        spin: bool,
        /// Where its processes are counted and limited.
        cgroup: Cgroup,
    },
    /// The helper: one more program runs in the container.
    Executed {
        /// Its process, as the daemon sees it.
        pid: u32,
    },
    /// The helper: there will be no container. The container's process: the program can't be executed.
    Error {
        /// For whoever asked containerd.
        message: String,
    },
    /// The app: every listener is bound, every subscription is checked.
    Ready,
    /// The app: it can't run; it said so on its stderr and ends with this code.
    Failed {
        /// Its exit code.
        code: u8,
        /// The same sentence, for the node's log.
        message: String,
    },
}

/// The writing end.
#[derive(Debug)]
pub struct Reporter(File);

impl Reporter {
    /// Writes to this pipe.
    pub fn new(pipe: OwnedFd) -> Self {
        Self(pipe.into())
    }

    /// Sends one line; the daemon's death is no reason to stop, so nothing comes of a failure.
    pub fn send(&self, report: &Report) {
        let mut line = serde_json::to_vec(report).unwrap_or_default();
        line.push(b'\n');
        let _gone = (&self.0).write_all(&line);
    }

    /// Another handle, for a process to come.
    pub fn duplicate(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Its pipe, to be handed on.
    pub fn pipe(&self) -> &File {
        &self.0
    }
}
