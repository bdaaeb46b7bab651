//! The SELinux label of a container's process, which libcontainer does not set.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use oci_spec::runtime::Process;
use pathrs::flags::OpenFlags;
use pathrs::procfs::{ProcfsBase, ProcfsHandle};

/// Where the kernel's policy is to be found, where it has one.
pub const SELINUX: &str = "/sys/fs/selinux/enforce";

/// The label that a process's next program runs with; none on a node without SELinux.
#[derive(Clone, Debug, Default)]
pub struct ExecLabel(Option<String>);

impl ExecLabel {
    /// What the spec has for this process. To be asked on the node: a container may not see whether there is a policy.
    pub fn of(process: Option<&Process>) -> Self {
        let label = process.and_then(|process| process.selinux_label().clone()).filter(|label| !label.is_empty());
        Self(label.filter(|_| Path::new(SELINUX).exists()))
    }

    /// Has the kernel give it to the next program of this thread. A label that the policy refuses is an error: the program would
    /// run unconfined.
    pub fn apply(&self) -> Result<()> {
        let Some(label) = &self.0 else { return Ok(()) };
        let open = || ProcfsHandle::new()?.open(ProcfsBase::ProcThreadSelf, "attr/exec", OpenFlags::O_WRONLY);
        let mut file = open().context("opening the process's SELinux attributes")?;
        file.write_all(label.as_bytes()).with_context(|| format!("setting the SELinux label {label:?}"))
    }
}
