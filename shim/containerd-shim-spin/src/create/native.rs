//! Runs an ordinary program as the container's process: the pause container, sidecars, init containers.

use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result};
use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use oci_spec::runtime::Spec;
use rustix::fs::{FileType, stat};
use rustix::io::Errno;

use super::hooks::StartHooks;
use super::selinux::ExecLabel;
use crate::link::{Link, Report};
use crate::sys;

/// What the kernel and shells take where there is no PATH.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Executes the spec's command.
#[derive(Clone, Debug)]
pub struct Native {
    link: Option<Arc<Link>>,
    before: Arc<BeforeExecution>,
}

impl Native {
    /// Reports on this link when the program can't be executed; where it can, the link closes.
    pub fn new(link: &Link, before: BeforeExecution) -> Result<Self> {
        let link = Arc::new(link.duplicate().context("the link to the daemon")?);
        Ok(Self { link: Some(link), before: Arc::new(before) })
    }

    /// For a process whose maker waits until the program is executed, and learns from libcontainer if it is not.
    pub fn without_link(before: BeforeExecution) -> Self {
        Self { link: None, before: Arc::new(before) }
    }
}

impl Executor for Native {
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        find(spec).map(drop).map_err(ExecutorValidationError::ArgValidationError)
    }

    fn setup_envs(&self, mut envs: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        // libcontainer knows the home of users in /etc/passwd alone; others have the root, as under runc.
        let home = envs.entry("HOME".to_owned()).or_default();
        if home.is_empty() {
            home.push('/');
        }
        // SAFETY: this process has one thread.
        unsafe { sys::replace_environment(envs) };
        Ok(())
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let message = match (self.before.run(), find(spec)) {
            (Err(error), _) => format!("{error:#}"),
            (Ok(()), Ok((program, args))) => execute(&program, args),
            (Ok(()), Err(message)) => message,
        };
        if let Some(link) = &self.link {
            link.send(&Report::Error { message: message.clone() });
        }
        Err(ExecutorError::Other(message))
    }
}

/// What is done in a container's process right before its program is executed.
#[derive(Debug)]
pub struct BeforeExecution {
    /// Hooks of the container's start; none for a further program.
    pub hooks: Option<StartHooks>,
    /// The program's label.
    pub label: ExecLabel,
}

impl BeforeExecution {
    /// Does it.
    pub fn run(&self) -> Result<()> {
        self.hooks.as_ref().map_or(Ok(()), StartHooks::run)?;
        self.label.apply()
    }
}

fn execute(program: &Path, args: &[String]) -> String {
    let mut command = Command::new(program);
    command.args(args.iter().skip(1));
    if let Some(name) = args.first() {
        command.arg0(name);
    }
    let error = command.exec();
    format!("exec {}: {error}", program.display())
}

/// The program's path, as seen from inside the container, and its arguments with its name.
fn find(spec: &Spec) -> Result<(PathBuf, &[String]), String> {
    let process = spec.process().as_ref();
    let args = process.and_then(|process| process.args().as_deref()).unwrap_or_default();
    let name = args.first().filter(|name| !name.is_empty()).ok_or("the container has no command")?;
    if CString::new(name.as_bytes()).is_err() {
        return Err(format!("exec {name:?}: the name contains a zero byte"));
    }
    let env = process.and_then(|process| process.env().as_deref()).unwrap_or_default();
    let path = env.iter().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    let found = if name.contains('/') { check(Path::new(name)) } else { search(name, path) };
    found.map(|program| (program, args)).map_err(|error| format!("exec: {name:?}: {error}"))
}

fn search(name: &str, path: &str) -> Result<PathBuf, String> {
    let mut denied = None;
    for dir in path.split(':') {
        match check(&Path::new(dir).join(name)) {
            Err(error) if error.starts_with("no such file") => {}
            Err(error) => denied = Some(error),
            found => return found,
        }
    }
    Err(denied.unwrap_or_else(|| "executable file not found in $PATH".to_owned()))
}

fn check(program: &Path) -> Result<PathBuf, String> {
    // Not by the standard library: it asks by statx. The container's seccomp filter holds by now, and one that
    // was written before Linux 4.11 refuses statx.
    match stat(program) {
        Ok(found) if FileType::from_raw_mode(found.st_mode).is_dir() => Err("is a directory".to_owned()),
        Ok(found) if found.st_mode & 0o111 == 0 => Err("permission denied".to_owned()),
        Ok(_) => Ok(program.to_owned()),
        Err(Errno::NOENT) => Err("no such file or directory".to_owned()),
        Err(error) => Err(io::Error::from(error).to_string()),
    }
}
