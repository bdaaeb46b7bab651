//! A further process of a container.

use std::io::{self, PipeReader, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use libcontainer::process::args::ContainerType;
use libcontainer::validator::Validator;
use libcontainer::workload::Executor;
use oci_spec::runtime::Spec;

use super::placement::Placement;
use super::process::{Spawned, arguments, in_a_sentence, spawn};
use crate::bundle::{self, TaskRequest};
use crate::cgroup::Cgroup;

/// A further process of a container, which waits for [`Joined::execute`] once it is as the spec says.
pub struct Joined {
    process: Spawned,
    dir: PathBuf,
    failure: PipeReader,
}

impl Joined {
    /// Makes it, in the container's cgroup. The spec has the process, and the container's namespaces by path; the terminal,
    /// if it is to have one, is sent over `console`. In `dir` nothing else is.
    pub fn make(
        request: &TaskRequest,
        spec: Spec,
        executor: impl Executor + 'static,
        cgroup: Cgroup,
        console: Option<OwnedFd>,
        dir: &Path,
    ) -> Result<Self> {
        Validator::validate_spec(&spec).map_err(in_a_sentence)?;
        let (failure, failed) = io::pipe().context("making a pipe")?;
        // libcontainer has its own way to tell of a failure, in the process that it would have in between.
        let kind = ContainerType::TenantContainer { exec_notify_fd: -1 };
        let executor = Box::new(executor);
        let mut args = arguments(kind, request, &Rc::new(spec), PathBuf::new(), dir, executor)?;
        args.console_socket = console.as_ref().map(AsRawFd::as_raw_fd);
        let process = spawn(&args, &Placement::Made(cgroup), Some(failed))?;
        Ok(Self { process, dir: dir.to_owned(), failure })
    }

    /// Executes its program. Returns its id, as this process and the daemon see it.
    pub fn execute(mut self) -> Result<u32> {
        self.process.wait_until_ready()?;
        bundle::release(&self.dir).context("executing the program")?;
        // The execution closes the pipe.
        let mut message = String::new();
        self.failure.read_to_string(&mut message).context("waiting for the program to be executed")?;
        if message.is_empty() { Ok(self.process.pid) } else { bail!("{message}") }
    }
}
