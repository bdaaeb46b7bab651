//! A process of a container: made by a copy of this process, in the container's cgroup, and set up by libcontainer's function for it.
//!
//! libcontainer's own way has one more process in between, which moves itself into the cgroup and so waits for the kernel.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{PipeWriter, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, anyhow};
use libcgroups::common::CgroupConfig;
use libcontainer::namespaces::Namespaces;
use libcontainer::notify_socket::{NOTIFY_FILE, NotifyListener};
use libcontainer::process::args::{ContainerArgs, ContainerType};
use libcontainer::process::channel::{self, ChannelError, InitReceiver, InitSender, MainReceiver, MainSender};
use libcontainer::process::init::container_init_process;
use libcontainer::syscall::syscall::SyscallType;
use libcontainer::workload::Executor;
use oci_spec::runtime::{LinuxNamespaceType, Process, Spec};
use rustix::fs::{Gid, Uid};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{
    CpuSet, LinkNameSpaceType, move_into_link_name_space, sched_setaffinity, set_name, set_thread_res_gid, set_thread_res_uid,
};

use super::placement::Placement;
use super::sentence;
use crate::bundle::TaskRequest;

/// The name of such a process until it executes its program.
const NAME: &CStr = c"shim:[INIT]";
/// What libcontainer puts before what an init process says.
const PREFIX: &str = "error in executing process : ";

/// A process that was made, and the channels to it.
pub struct Spawned {
    /// Its id, as this process and the daemon see it.
    pub pid: u32,
    /// What it reports until it waits for its start.
    pub reports: MainReceiver,
    /// Tells it that its hooks were run.
    pub replies: InitSender,
}

/// What libcontainer's function for an init process is called with. In `dir` the process listens for its start.
pub fn arguments(
    container_type: ContainerType,
    request: &TaskRequest,
    spec: &Rc<Spec>,
    rootfs: PathBuf,
    dir: &Path,
    executor: Box<dyn Executor>,
) -> Result<ContainerArgs> {
    Ok(ContainerArgs {
        container_type,
        syscall: SyscallType::default(),
        spec: spec.clone(),
        rootfs,
        console_socket: None,
        notify_listener: NotifyListener::new(&dir.join(NOTIFY_FILE)).map_err(in_a_sentence)?,
        preserve_fds: 0,
        container: None,
        user_ns_config: None,
        // Looked at by the process in between alone, which there isn't here.
        cgroup_config: CgroupConfig { cgroup_path: PathBuf::new(), systemd_cgroup: false, container_name: request.id.clone() },
        detached: true,
        executor,
        no_pivot: false,
        stdin: None,
        stdout: None,
        stderr: None,
        as_sibling: false,
        pid_file: None,
    })
}

/// Makes a process in its place that becomes what the arguments say. A failure after it was ready goes into the pipe, if there
/// is one.
pub fn spawn(args: &ContainerArgs, placement: &Placement, mut failed: Option<PipeWriter>) -> Result<Spawned> {
    let (mut sender, reports) = channel::main_channel().map_err(in_a_sentence)?;
    let (replies, mut receiver) = channel::init_channel().map_err(in_a_sentence)?;
    have_children_in_its_pid_namespace(&args.spec)?;
    let pid = placement.spawn(|entered| {
        let error = match entered {
            Ok(()) => become_process(args, &mut sender, &mut receiver).err(),
            Err(error) => Some(anyhow!("entering the cgroup: {error}")),
        };
        let message = error.map_or_else(|| "the init process ended".to_owned(), |error| format!("{error:#}"));
        if let Some(failed) = &mut failed {
            let _nobody_listens = failed.write_all(message.as_bytes());
        }
        let _nobody_listens = sender.exec_failed(message);
    });
    have_children_in_own_pid_namespace()?;
    for closed in [sender.close(), receiver.close()] {
        closed.map_err(in_a_sentence)?;
    }
    Ok(Spawned { pid: pid?, reports, replies })
}

impl Spawned {
    /// Waits until the namespaces are made and mounts are there, and has what is to run then run; only where the spec has hooks.
    pub fn run_hooks(&mut self, run: impl FnOnce(u32) -> Result<()>) -> Result<()> {
        self.reports.wait_for_hook_request().map_err(failure_of)?;
        run(self.pid)?;
        self.replies.hook_done().map_err(in_a_sentence)
    }

    /// Waits until the process waits for its start.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        self.reports.wait_for_init_ready().map_err(failure_of)?;
        self.reports.close().map_err(in_a_sentence)?;
        self.replies.close().map_err(in_a_sentence)
    }
}

/// What the process said, or that it said nothing.
fn failure_of(error: ChannelError) -> anyhow::Error {
    match error {
        ChannelError::ExecError(message) => anyhow!("{}", message.trim_start_matches(PREFIX)),
        _ => anyhow!("the container's init process was killed before the container was complete"),
    }
}

/// A process stays in the namespace that it was born in.
fn have_children_in_its_pid_namespace(spec: &Spec) -> Result<()> {
    let namespaces = namespaces_of(spec)?;
    match namespaces.get(LinuxNamespaceType::Pid).map_err(in_a_sentence)? {
        Some(namespace) => namespaces.unshare_or_setns(namespace).map_err(in_a_sentence).context("the namespace of processes"),
        None => Ok(()),
    }
}

/// Later children, such as hooks on the node, are not the container's.
fn have_children_in_own_pid_namespace() -> Result<()> {
    let own = File::open("/proc/self/ns/pid").context("opening this process's pid namespace")?;
    move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::ProcessID))
        .context("returning to this process's pid namespace")
}

fn namespaces_of(spec: &Spec) -> Result<Namespaces> {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    Namespaces::try_from(namespaces).map_err(in_a_sentence)
}

/// In the new process: comes back only with the reason why not.
fn become_process(args: &ContainerArgs, sender: &mut MainSender, receiver: &mut InitReceiver) -> Result<()> {
    set_name(NAME).context("naming this process")?;
    let process = args.spec.process().as_ref().context("the spec has no process")?;
    if let Some(score) = process.oom_score_adj() {
        fs::write("/proc/self/oom_score_adj", score.to_string()).context("setting the oom score")?;
    }
    // Nobody in a namespace that it joins may look into it, while it still has what is the node's.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("becoming not dumpable")?;
    let calls = args.syscall.create_syscall();
    for limit in process.rlimits().iter().flatten() {
        calls.set_rlimit(limit).map_err(in_a_sentence).context("setting a limit of the process")?;
    }
    if let ContainerType::TenantContainer { .. } = args.container_type {
        set_affinity(process)?;
        join_user_namespace(&args.spec)?;
    }
    container_init_process(args, sender, receiver).map_err(in_a_sentence)
}

/// Pins the process of an exec to its processors. It is in the container's cgroup already, so of two sets the final one counts.
fn set_affinity(process: &Process) -> Result<()> {
    let Some(affinity) = process.exec_cpu_affinity() else { return Ok(()) };
    let Some(list) = affinity.cpu_affinity_final().as_ref().or(affinity.initial().as_ref()) else { return Ok(()) };
    let processors = processors(list).with_context(|| format!("the processors {list:?}"))?;
    sched_setaffinity(None, &processors).with_context(|| format!("setting the processors {list}"))
}

/// Reads a list as the kernel writes it: `0-3,7`.
fn processors(list: &str) -> Option<CpuSet> {
    let mut set = CpuSet::new();
    for range in list.split(',').map(str::trim).filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= CpuSet::MAX_CPU {
            return None;
        }
        (first..=last).for_each(|processor| set.set(processor));
    }
    (set.count() > 0).then_some(set)
}

/// Becomes root among the container's own users, where it has some: what follows is done with that root's powers alone.
fn join_user_namespace(spec: &Spec) -> Result<()> {
    let namespaces = namespaces_of(spec)?;
    let Some(users) = namespaces.get(LinuxNamespaceType::User).map_err(in_a_sentence)? else { return Ok(()) };
    namespaces.unshare_or_setns(users).map_err(in_a_sentence).context("the namespace of users")?;
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).context("becoming the container's root group")?;
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).context("becoming the container's root")
}

/// An error of a library with its causes.
pub fn in_a_sentence(error: impl std::error::Error) -> anyhow::Error {
    anyhow!(sentence(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_read_as_the_kernel_writes_them() {
        let numbers = |list| processors(list).map(|set| (0..16).filter(|&number| set.is_set(number)).collect::<Vec<_>>());
        assert_eq!(numbers("0-2,5"), Some(vec![0, 1, 2, 5]));
        assert_eq!(numbers(" 1 , 3-3"), Some(vec![1, 3]));
        for list in ["", "x", "3-1", "1-", "99999999", "-1"] {
            assert_eq!(numbers(list), None, "{list:?}");
        }
    }
}
