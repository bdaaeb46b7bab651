//! Running one more program in a container: `kubectl exec`, exec probes, hooks.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::container::{Container, ContainerStatus};
use libcontainer::syscall::syscall::SyscallType;
use oci_spec::runtime::Process;

use crate::bundle::{self, TaskRequest};
use crate::cgroup;
use crate::create::{Native, sentence, to_what_is_allowed};
use crate::link::{Link, Program, Report};

/// Runs the program in the bundle's container, and reports it.
pub fn exec(bundle: &Path, request: TaskRequest, program: &Program, link: &Link) -> Result<()> {
    cgroup::expect_move();
    let file = &program.file;
    let text = fs::read(file).context("reading the process")?;
    let mut process: Process = serde_json::from_slice(&text).context("the process is malformed")?;
    to_what_is_allowed(&mut process)?;
    fs::write(file, serde_json::to_vec(&process)?).context("writing the process")?;
    let container = Known::describe(bundle, &request, program)?;
    let pid = ContainerBuilder::new(request.id, SyscallType::default())
        .with_executor(Native::new(link)?)
        .with_root_path(&container.0)?
        .with_console_socket(process.terminal().unwrap_or_default().then(|| bundle::console_socket(bundle, &exec_id_of(file))))
        .as_tenant()
        .with_env(HashMap::new())
        .with_process(Some(file.clone()))
        .with_detach(true)
        .build();
    let pid = pid.map_err(|error| anyhow::anyhow!(sentence(&error)))?;
    link.send(&Report::Executed { pid: pid.as_raw().cast_unsigned() });
    Ok(())
}

/// The container as libcontainer keeps those that it started by itself: in a directory, for this program alone.
struct Known(PathBuf);

impl Known {
    fn describe(bundle: &Path, request: &TaskRequest, program: &Program) -> Result<Self> {
        let known = Self(program.file.with_extension(""));
        let dir = known.0.join(&request.id);
        fs::create_dir_all(&dir).context("making the program's directory")?;
        let container = Container::new(&request.id, ContainerStatus::Running, Some(program.init.cast_signed()), bundle, &dir);
        let mut container = container.context("describing the container")?;
        container.set_systemd(request.systemd_cgroup).save().context("describing the container")?;
        Ok(known)
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        let _goes_with_the_bundle = fs::remove_dir_all(&self.0);
    }
}

/// The daemon names the file after the id.
fn exec_id_of(file: &Path) -> String {
    let name = file.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    name.trim_start_matches("exec-").to_owned()
}
