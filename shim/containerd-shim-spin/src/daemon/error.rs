//! Why a call of the task API is refused, and under which code.

use std::io;

use containerd_shim_protos::ttrpc::{self, Code};

/// A refusal; the text is for whoever asked containerd.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// Said only when it is true: containerd takes it for a leaked shim, and kills what runs.
    #[error("{0}: no such task")]
    NoTask(String),
    /// Likewise for a process that was made by exec.
    #[error("{task}: no such process {exec}")]
    NoProcess {
        /// The task.
        task: String,
        /// The process's id.
        exec: String,
    },
    /// The process has ended: it can't be signalled.
    #[error("{0}: process already finished")]
    Finished(String),
    /// There is one with this id.
    #[error("{0}: already exists")]
    Exists(String),
    /// Not in this state.
    #[error("{id}: {why}")]
    State {
        /// The task.
        id: String,
        /// What it is or isn't.
        why: &'static str,
    },
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Known, and not done here.
    #[error("{0} is not implemented by this runtime")]
    Unimplemented(&'static str),
    /// The container could not be made or started; said by the process that tried.
    #[error("{0}")]
    Container(String),
    /// The system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Its answer.
        source: io::Error,
    },
}

impl TaskError {
    /// For `map_err`.
    pub fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }

    fn code(&self) -> Code {
        match self {
            Self::NoTask(_) | Self::NoProcess { .. } | Self::Finished(_) => Code::NOT_FOUND,
            Self::Exists(_) => Code::ALREADY_EXISTS,
            Self::State { .. } => Code::FAILED_PRECONDITION,
            Self::Invalid(_) => Code::INVALID_ARGUMENT,
            Self::Unimplemented(_) => Code::UNIMPLEMENTED,
            Self::Container(_) | Self::Io { .. } => Code::UNKNOWN,
        }
    }
}

impl From<TaskError> for ttrpc::Error {
    fn from(error: TaskError) -> Self {
        Self::RpcStatus(ttrpc::get_status(error.code(), error))
    }
}
