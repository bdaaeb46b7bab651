//! Running one more program in a container: `kubectl exec`, exec probes, hooks.
//!
//! The program's process gets all that the container's init process got: the container's namespaces, its cgroup and its seccomp
//! filter, and what its own description says of user, capabilities, limits and security profiles.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use oci_spec::runtime::{LinuxNamespaceType, Process, Spec};
use rustix::fs::{Mode, OFlags};

use crate::bundle::{self, TaskRequest};
use crate::create::{BeforeExecution, ExecLabel, Joined, Native, adapt_process, give_streams, ids_on_node};
use crate::link::{Link, Program, Report};
use crate::sys;

/// Runs the program in the bundle's container, and reports it. `init` is a pidfd of the container's init process.
pub fn exec(bundle: &Path, request: &TaskRequest, program: Program, init: &OwnedFd, terminal: bool, link: &Link) -> Result<()> {
    let text = fs::read(&program.file).context("reading the process")?;
    let mut process: Process = serde_json::from_slice(&text).context("the process is malformed")?;
    // containerd's clients may ask for a terminal in the request alone.
    process.set_terminal(Some(terminal));
    adapt_process(&mut process)?;
    let before = BeforeExecution { hooks: None, label: ExecLabel::of(Some(&process)) };
    let spec = Spec::load(bundle.join("config.json")).context("reading the spec")?;
    let (uid, gid) = ids_on_node(&spec, process.user());
    give_streams(uid, gid).context("giving the streams to the program's user")?;
    let directory = OwnDirectory::make(&program)?;
    let console = match terminal {
        true => Some(bundle::connect_console(bundle, id_of(&program)?).context("the terminal's socket")?),
        false => None,
    };
    let namespaces = ProcessDirectory::open(program.init, init).context("the container's init process")?;
    let spec = joining(spec, process, &namespaces)?;
    let cgroup = program.cgroup.for_processes(program.init).context("the container's cgroup")?;
    let joined = Joined::make(request, spec, Native::without_link(before), cgroup, console, &directory.0)?;
    link.send(&Report::Executed { pid: joined.execute()? });
    Ok(())
}

/// The spec of a process that joins the container of this spec.
fn joining(mut spec: Spec, process: Process, init: &ProcessDirectory) -> Result<Spec> {
    let linux = spec.linux_mut().as_mut().context("the spec has no part for Linux")?;
    for namespace in linux.namespaces_mut().iter_mut().flatten() {
        namespace.set_path(Some(init.namespace(namespace.typ())));
    }
    // Both are written to init's namespaces, once.
    linux.set_sysctl(None).set_time_offsets(None);
    spec.set_process(Some(process)).set_hooks(None);
    Ok(spec)
}

/// `/proc/PID` of a process; once that has ended it is empty, whoever has its number then.
struct ProcessDirectory(OwnedFd);

impl ProcessDirectory {
    /// The pidfd proves that the directory is the right process's: until that is reaped, nobody else has its number.
    fn open(pid: u32, process: &OwnedFd) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(format!("/proc/{pid}"), flags, Mode::empty())?;
        sys::signal(process.as_fd(), 0)?;
        Ok(Self(directory))
    }

    fn namespace(&self, kind: LinuxNamespaceType) -> PathBuf {
        let name = match kind {
            LinuxNamespaceType::Cgroup => "cgroup",
            LinuxNamespaceType::Ipc => "ipc",
            LinuxNamespaceType::Mount => "mnt",
            LinuxNamespaceType::Network => "net",
            LinuxNamespaceType::Pid => "pid",
            LinuxNamespaceType::Time => "time",
            LinuxNamespaceType::User => "user",
            LinuxNamespaceType::Uts => "uts",
        };
        PathBuf::from(format!("/proc/self/fd/{}/ns/{name}", self.0.as_raw_fd()))
    }
}

/// Where the program's process listens for its start; for this program alone.
struct OwnDirectory(PathBuf);

impl OwnDirectory {
    fn make(program: &Program) -> Result<Self> {
        let directory = Self(program.file.with_extension(""));
        fs::create_dir_all(&directory.0).context("making the program's directory")?;
        Ok(directory)
    }
}

impl Drop for OwnDirectory {
    fn drop(&mut self) {
        let _goes_with_the_bundle = fs::remove_dir_all(&self.0);
    }
}

/// The program's id, after which the daemon names its file.
fn id_of(program: &Program) -> Result<&str> {
    let name = program.file.file_stem().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("exec-"));
    name.with_context(|| format!("{} names no program", program.file.display()))
}
