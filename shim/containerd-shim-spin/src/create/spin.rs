//! Runs our own program as the container's process: the app.

use std::ffi::CString;
use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use anyhow::{Context, Result};
use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};
use oci_spec::runtime::Spec;

use super::native::BeforeExecution;
use super::prepare;
use crate::link::{Link, Report};
use crate::{allocator, app, sys};

/// Executes this very binary inside the container, where it receives the plan.
#[derive(Clone, Debug)]
pub struct Spin(Arc<Inherited>);

/// What stays open over the execution.
#[derive(Debug)]
struct Inherited {
    program: OwnedFd,
    plan: OwnedFd,
    link: Link,
    /// Threads that serve by the container's quota, which the allocator is sized by.
    workers: usize,
    before: BeforeExecution,
}

impl Spin {
    /// Gives the app's process the socket that its plan comes through, and the link.
    pub fn new(program: OwnedFd, plan: OwnedFd, link: &Link, spec: &Spec, before: BeforeExecution) -> Result<Self> {
        let link = link.duplicate().context("the link to the daemon")?;
        let (_, cpus) = prepare::limits(spec);
        Ok(Self(Arc::new(Inherited { program, plan, link, workers: app::workers(cpus), before })))
    }
}

/// Leaves out of a container what an app has no use for, and would take time to make.
pub fn fit(spec: &mut Spec) {
    if let Some(process) = spec.process_mut() {
        // The image's own working directory need not exist.
        process.set_cwd("/".into());
    }
    if let Some(mounts) = spec.mounts_mut() {
        mounts.retain(|mount| !matches!(mount.typ().as_deref(), Some("cgroup" | "mqueue" | "sysfs")));
    }
}

impl Executor for Spin {
    fn validate(&self, _: &Spec) -> Result<(), ExecutorValidationError> {
        Ok(())
    }

    fn exec(&self, _: &Spec) -> Result<(), ExecutorError> {
        let message = match self.0.before.run() {
            Ok(()) => format!("executing the app's process: {}", self.0.execute()),
            Err(error) => format!("{error:#}"),
        };
        self.0.link.send(&Report::Error { message: message.clone() });
        Err(ExecutorError::Other(message))
    }
}

impl Inherited {
    /// Comes back only with the reason why not.
    fn execute(&self) -> std::io::Error {
        sys::default_signals();
        let inherited = [self.plan.as_fd(), self.link.socket().as_fd()];
        if let Err(error) = inherited.iter().try_for_each(sys::inherit_across_exec) {
            return error;
        }
        let [plan, link] = inherited.map(|fd| CString::new(fd.as_raw_fd().to_string()).unwrap_or_default());
        // The container's environment is in the plan; the allocator reads its settings before there is a plan.
        let allocator = format!("{}={}", allocator::SETTINGS, allocator::settings(self.workers));
        let env = [CString::new(allocator).unwrap_or_default()];
        sys::exec_fd(self.program.as_fd(), &[c"containerd-shim-spin-v2", app::ARGUMENT, &plan, &link], &env)
    }
}

/// The execution of the app, which closes what is not for the app.
///
/// Who closes a detached mount last waits until the kernel has taken it apart. The app's program is one and so is libcontainer's handle of procfs: the helper,
/// whom nobody waits for any more, keeps both until the app's process has let go of them.
pub struct Execution<Kept> {
    kept: Kept,
    done: PipeReader,
    pending: PipeWriter,
}

impl<Kept> Execution<Kept> {
    /// By a process that is still to be copied from this one.
    pub fn expected(kept: Kept) -> std::io::Result<Self> {
        let (done, pending) = std::io::pipe()?;
        Ok(Self { kept, done, pending })
    }

    /// Waits until no other process is left that could execute the app.
    pub fn wait(self) {
        let Self { kept, mut done, pending } = self;
        drop(pending);
        let _end = done.read(&mut [0]);
        drop(kept);
    }
}

/// Our own program, so that nobody who finds it under `/proc/PID/exe` can write to the node's file. Called in the
/// mount namespace that this process was executed in: a mount of another one can't be cloned.
pub fn own_program() -> std::io::Result<OwnedFd> {
    sys::unwritable(&File::open("/proc/self/exe")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_execution_closes_is_kept_until_nobody_is_left_to_execute() {
        let kept = Arc::new(());
        let execution = Execution::expected(kept.clone()).expect("a pipe");
        let copy = execution.pending.try_clone().expect("a copy");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| execution.wait());
            assert_eq!((Arc::strong_count(&kept), waiting.is_finished()), (2, false));
            drop(copy);
        });
        assert_eq!(Arc::strong_count(&kept), 1);
    }
}
