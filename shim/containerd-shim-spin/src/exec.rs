//! Running one more program in a container: `kubectl exec`, exec probes, hooks.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::container::{Container, ContainerStatus};
use libcontainer::syscall::syscall::SyscallType;
use oci_spec::runtime::Process;

use crate::bundle::{self, TaskRequest};
use crate::cgroup;
use crate::create::{Native, sentence, to_what_is_allowed};
use crate::link::{Link, Report};

/// Runs the process that the file describes in the bundle's container, and reports it.
pub fn exec(bundle: &Path, request: TaskRequest, file: &Path, link: &Link) -> Result<()> {
    cgroup::expect_move();
    let text = std::fs::read(file).context("reading the process")?;
    let mut process: Process = serde_json::from_slice(&text).context("the process is malformed")?;
    to_what_is_allowed(&mut process)?;
    std::fs::write(file, serde_json::to_vec(&process)?).context("writing the process")?;
    note_running(bundle::container_dir(bundle, &request.id))?;
    let pid = ContainerBuilder::new(request.id, SyscallType::default())
        .with_executor(Native::new(link)?)
        .with_root_path(bundle::state_dir(bundle))?
        .with_console_socket(process.terminal().unwrap_or_default().then(|| bundle::console_socket(bundle, &exec_id_of(file))))
        .as_tenant()
        .with_env(HashMap::new())
        .with_process(Some(PathBuf::from(file)))
        .with_detach(true)
        .build();
    let pid = pid.map_err(|error| anyhow::anyhow!(sentence(&error)))?;
    link.send(&Report::Executed { pid: pid.as_raw().cast_unsigned() });
    Ok(())
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
