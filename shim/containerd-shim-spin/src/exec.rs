//! The helper that runs one more program in a container: `kubectl exec`, exec probes, hooks.
//!
//! Short-lived and single-threaded like the one that creates containers; its standard streams are the new program's.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::container::{Container, ContainerStatus};
use libcontainer::syscall::syscall::SyscallType;
use oci_spec::runtime::Process;

use crate::bundle::{self, TaskRequest};
use crate::create::{Native, container_umask, sentence, to_what_is_allowed};
use crate::report::{Report, Reporter};
use crate::sys;

/// The argument that asks for this part; the report pipe's number and the process's file follow.
pub const VERB: &str = "--exec";

/// Runs the process that the file describes in the bundle's container.
pub fn main(args: &[OsString]) -> ExitCode {
    let number = args.first().and_then(|number| number.to_str()).and_then(|number| number.parse().ok());
    let (Some(Ok(pipe)), Some(file)) = (number.map(sys::inherited_fd), args.get(1)) else {
        eprintln!("containerd-shim-spin-v2: {VERB} is for the daemon");
        return ExitCode::FAILURE;
    };
    let reporter = Reporter::new(pipe);
    container_umask();
    let report = exec(Path::new(file), &reporter).unwrap_or_else(|error| Report::Error { message: format!("{error:#}") });
    reporter.send(&report);
    ExitCode::SUCCESS
}

fn exec(file: &Path, reporter: &Reporter) -> Result<Report> {
    let bundle = std::env::current_dir().context("the bundle")?;
    let request = TaskRequest::load(&bundle).context("reading the task's request")?.context("no task's request")?;
    let text = std::fs::read(file).context("reading the process")?;
    let mut process: Process = serde_json::from_slice(&text).context("the process is malformed")?;
    to_what_is_allowed(&mut process)?;
    std::fs::write(file, serde_json::to_vec(&process)?).context("writing the process")?;
    note_running(bundle::container_dir(&bundle, &request.id))?;
    let pid = ContainerBuilder::new(request.id, SyscallType::default())
        .with_executor(Native::new(reporter)?)
        .with_root_path(bundle::state_dir(&bundle))?
        .with_console_socket(process.terminal().unwrap_or_default().then(|| bundle::console_socket(&bundle, &exec_id_of(file))))
        .as_tenant()
        .with_env(HashMap::new())
        .with_process(Some(PathBuf::from(file)))
        .with_detach(true)
        .build();
    let pid = pid.map_err(|error| anyhow::anyhow!(sentence(&error)))?;
    Ok(Report::Executed { pid: pid.as_raw().cast_unsigned() })
}

/// The daemon names the file after the id.
fn exec_id_of(file: &Path) -> String {
    let name = file.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    name.trim_start_matches("exec-").to_owned()
}

/// libcontainer runs programs only in containers that it started itself; ours are started by the daemon.
fn note_running(container: PathBuf) -> Result<()> {
    let mut container = Container::load(container).context("loading the container's state")?;
    if container.status() == ContainerStatus::Created {
        container.set_status(ContainerStatus::Running);
        container.save().context("saving the container's state")?;
    }
    Ok(())
}
