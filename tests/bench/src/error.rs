//! Why something could not be measured.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why something could not be measured. What the harness can't do panics there, with its own words.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the system's or of ours.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// A program that can't be run.
    #[error("running {program}: {source}")]
    Run {
        /// Its name.
        program: &'static str,
        /// The system's words.
        source: io::Error,
    },
    /// A program that ended badly.
    #[error("{program} failed: {said}")]
    Failed {
        /// Its name.
        program: &'static str,
        /// Both its outputs.
        said: String,
    },
    /// Nothing answered 200 there.
    #[error("no 200 from {address} within {seconds} s; at last: {last}")]
    NoAnswer {
        /// Where it was asked for.
        address: SocketAddr,
        /// For how long.
        seconds: u64,
        /// What the last attempt met.
        last: String,
    },
    /// wrk's script did not report, or not what it should.
    #[error("wrk did not count: {0}")]
    Uncounted(String),
    /// A task whose parent is no shim.
    #[error("process {0} is supervised by no shim")]
    Unsupervised(i32),
    /// Fewer messages were handled than published, or more.
    #[error("of {published} messages {handled} were handled within {seconds} s")]
    Messages {
        /// As many as were published.
        published: usize,
        /// As many as the guest counted.
        handled: usize,
        /// How long it was waited for them.
        seconds: u64,
    },
    /// Redis itself.
    #[error("redis: {0}")]
    Redis(#[from] redis::RedisError),
    /// Pods that did not become ready.
    #[error("{ready} of {wanted} pods of {app} were ready within {seconds} s")]
    Pods {
        /// Their deployment.
        app: &'static str,
        /// Ready ones.
        ready: usize,
        /// As many as there should be.
        wanted: usize,
        /// How long it was waited for them.
        seconds: u64,
    },
    /// A plot.
    #[error("drawing {path}: {said}")]
    Plot {
        /// Its file.
        path: PathBuf,
        /// The drawing library's words.
        said: String,
    },
    /// A signal came.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// For `map_err`: which file it was.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
