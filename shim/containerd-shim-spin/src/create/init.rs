//! A container's init process: made here, and set up by libcontainer.
//!
//! libcontainer's own way has one more process in between, which finds the cgroup's controllers, sets its limits and only then makes the init process. Here
//! that one is a child of the helper's, born in its cgroup, and the limits are set beside its work. Whatever else the process between is for goes
//! libcontainer's way: see [`is_ordinary`].

use std::ffi::CStr;
use std::fs;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, anyhow, bail};
use libcgroups::common::{CgroupConfig, CgroupManager, ControllerOpt, create_cgroup_manager};
use libcontainer::apparmor;
use libcontainer::namespaces::Namespaces;
use libcontainer::notify_socket::{NOTIFY_FILE, NotifyListener};
use libcontainer::process::args::{ContainerArgs, ContainerType};
use libcontainer::process::channel::{self, ChannelError, InitReceiver, MainReceiver, MainSender};
use libcontainer::process::init::container_init_process;
use libcontainer::syscall::syscall::SyscallType;
use libcontainer::validator::Validator;
use libcontainer::workload::Executor;
use oci_spec::runtime::{
    Linux, LinuxNamespaceType, LinuxResources, LinuxSeccomp, LinuxSeccompAction, Mount, Process, Spec,
};
use rustix::fs::{Gid, Uid};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{CpuSet, sched_setaffinity, set_name, set_thread_res_gid, set_thread_res_uid};

use super::sentence;
use crate::bundle::{self, TaskRequest};
use crate::cgroup::Cgroup;

/// A container's init process, which waits for [`bundle::release`] once the container around it is complete.
pub struct Init {
    pid: u32,
    spec: Rc<Spec>,
    news: MainReceiver,
}

/// The name of such a process until it executes its program.
const NAME: &CStr = c"shim:[INIT]";
/// What libcontainer puts before what an init process says.
const PREFIX: &str = "error in executing process : ";

/// Whether the init process of such a container can be made here: no other users, clocks or network devices than the node's, no hooks, no terminal, nobody
/// who listens for its system calls.
pub fn is_ordinary(request: &TaskRequest, spec: &Spec) -> bool {
    let Some(linux) = spec.linux() else { return false };
    let process = spec.process().as_ref();
    let profile = process.and_then(|process| process.apparmor_profile().as_ref());
    spec.version().starts_with("1.")
        && !request.terminal
        && !request.systemd_cgroup
        && spec.hooks().is_none()
        && !spec.mounts().iter().flatten().any(is_id_mapped)
        && is_of_the_node(linux)
        && (profile.is_none() || apparmor::is_enabled().unwrap_or(false))
}

fn is_of_the_node(linux: &Linux) -> bool {
    let own = [LinuxNamespaceType::User, LinuxNamespaceType::Time];
    let none_of_its_own = !linux.namespaces().iter().flatten().any(|namespace| own.contains(&namespace.typ()));
    let no_devices = linux.net_devices().as_ref().is_none_or(|devices| devices.is_empty());
    none_of_its_own && no_devices && linux.intel_rdt().is_none() && !linux.seccomp().as_ref().is_some_and(is_listened_to)
}

fn is_id_mapped(mount: &Mount) -> bool {
    let asked = mount.options().iter().flatten().any(|option| matches!(option.as_str(), "idmap" | "ridmap"));
    asked || mount.uid_mappings().is_some() || mount.gid_mappings().is_some()
}

fn is_listened_to(seccomp: &LinuxSeccomp) -> bool {
    let notify = LinuxSeccompAction::ScmpActNotify;
    seccomp.default_action() == notify || seccomp.syscalls().iter().flatten().any(|rule| rule.action() == notify)
}

impl Init {
    /// Makes it, in its cgroup, which is there.
    pub fn make(
        bundle: &Path,
        request: &TaskRequest,
        spec: Spec,
        executor: impl Executor + 'static,
        cgroup: &Cgroup,
    ) -> Result<Self> {
        Validator::validate_spec(&spec).map_err(in_a_sentence)?;
        let root = spec.root().as_ref().context("the spec names no root file system")?.path();
        let rootfs = fs::canonicalize(root).context("the root file system")?;
        let dir = bundle::container_dir(bundle, &request.id);
        fs::create_dir_all(&dir).context("making the state's directory")?;
        let (spec, executor) = (Rc::new(spec), Box::new(executor));
        let args = arguments(ContainerType::InitContainer, request, &spec, rootfs, &dir, executor)?;
        let (pid, news) = spawn(&args, cgroup, None)?;
        Ok(Self { pid, spec, news })
    }

    /// Its id, as this process and the daemon see it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sets its cgroup's limits, but for devices.
    pub fn limit(&self, request: &TaskRequest) -> Result<()> {
        let resources = self.spec.linux().as_ref().and_then(|linux| linux.resources().clone());
        let Some(mut resources) = resources else { return Ok(()) };
        // Version 1 forbids all devices first, which must not happen while the init process makes its own.
        resources.set_devices(None);
        if resources == LinuxResources::default() {
            return Ok(());
        }
        let manager = create_cgroup_manager(config_of(request, &self.spec)?).map_err(in_a_sentence)?;
        let limits = ControllerOpt { resources: &resources, disable_oom_killer: false, oom_score_adj: None, freezer_state: None };
        manager.apply(&limits).map_err(in_a_sentence).context("setting the cgroup's limits")
    }

    /// Waits until the container around it is complete.
    pub fn ready(mut self) -> Result<()> {
        wait_until_ready(&mut self.news)
    }
}

/// A further process of a container, which waits for [`Joined::execute`] once it is as the spec says.
pub struct Joined {
    pid: u32,
    news: MainReceiver,
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
        cgroup: &Cgroup,
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
        let (pid, news) = spawn(&args, cgroup, Some(failed))?;
        Ok(Self { pid, news, dir: dir.to_owned(), failure })
    }

    /// Executes its program. Returns its id, as this process and the daemon see it.
    pub fn execute(mut self) -> Result<u32> {
        wait_until_ready(&mut self.news)?;
        bundle::release(&self.dir).context("executing the program")?;
        // The execution closes the pipe.
        let mut message = String::new();
        self.failure.read_to_string(&mut message).context("waiting for the program to be executed")?;
        if message.is_empty() { Ok(self.pid) } else { bail!("{message}") }
    }
}

fn config_of(request: &TaskRequest, spec: &Spec) -> Result<CgroupConfig> {
    let path = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().clone()).context("the spec names no cgroup")?;
    Ok(CgroupConfig { cgroup_path: path, systemd_cgroup: false, container_name: request.id.clone() })
}

/// What libcontainer's init process is called with. In `dir` it listens for its start.
fn arguments(
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
        cgroup_config: config_of(request, spec)?,
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

/// Makes a process in the cgroup that becomes what the arguments say. Returns its id, and what it reports until it is ready;
/// a failure after that goes into the pipe, if there is one.
fn spawn(args: &ContainerArgs, cgroup: &Cgroup, mut failed: Option<PipeWriter>) -> Result<(u32, MainReceiver)> {
    let (mut sender, news) = channel::main_channel().map_err(in_a_sentence)?;
    // Nothing is ever said to it.
    let (silent, mut receiver) = channel::init_channel().map_err(in_a_sentence)?;
    have_children_in_its_pid_namespace(&args.spec)?;
    let pid = cgroup.spawn(|entered| {
        let error = match entered {
            Ok(()) => be(args, &mut sender, &mut receiver).err(),
            Err(error) => Some(anyhow!("entering the cgroup: {error}")),
        };
        let message = error.map_or_else(|| "the init process ended".to_owned(), |error| format!("{error:#}"));
        if let Some(failed) = &mut failed {
            let _nobody_listens = failed.write_all(message.as_bytes());
        }
        let _nobody_listens = sender.exec_failed(message);
    });
    for closed in [sender.close(), silent.close(), receiver.close()] {
        closed.map_err(in_a_sentence)?;
    }
    Ok((pid.context("copying this process")?, news))
}

/// Waits until the process waits for its start.
fn wait_until_ready(news: &mut MainReceiver) -> Result<()> {
    match news.wait_for_init_ready() {
        Ok(()) => news.close().map_err(in_a_sentence),
        Err(ChannelError::ExecError(message)) => bail!("{}", message.trim_start_matches(PREFIX)),
        Err(_) => bail!("the container's init process was killed before the container was complete"),
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

fn namespaces_of(spec: &Spec) -> Result<Namespaces> {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    Namespaces::try_from(namespaces).map_err(in_a_sentence)
}

/// In the new process: comes back only with the reason why not.
fn be(args: &ContainerArgs, sender: &mut MainSender, receiver: &mut InitReceiver) -> Result<()> {
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

fn in_a_sentence(error: impl std::error::Error) -> anyhow::Error {
    anyhow!(sentence(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn is_ordinary_with(edit: impl FnOnce(&mut Value)) -> bool {
        let mut spec = json!({
            "ociVersion": "1.1.0",
            "root": { "path": "rootfs" },
            "mounts": [{ "destination": "/proc", "type": "proc", "source": "proc" }],
            "linux": {
                "namespaces": [{ "type": "pid" }, { "type": "mount" }],
                "seccomp": { "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_ALLOW" }] },
            },
        });
        edit(&mut spec);
        let spec = serde_json::from_value(spec).expect("a spec");
        is_ordinary(&TaskRequest::default(), &spec)
    }

    #[test]
    fn what_needs_more_than_an_init_process_is_left_to_libcontainer() {
        assert!(is_ordinary_with(|_| {}));
        let hooks = json!({ "prestart": [{ "path": "/bin/true" }] });
        assert!(!is_ordinary_with(|spec| spec["hooks"] = hooks));
        assert!(!is_ordinary_with(|spec| spec["mounts"][0]["options"] = json!(["ridmap"])));
        assert!(!is_ordinary_with(|spec| spec["linux"]["namespaces"][1]["type"] = json!("user")));
        assert!(!is_ordinary_with(|spec| spec["linux"]["seccomp"]["syscalls"][0]["action"] = json!("SCMP_ACT_NOTIFY")));
        assert!(!is_ordinary_with(|spec| spec["linux"]["netDevices"] = json!({ "eth0": {} })));
        assert!(!is_ordinary_with(|spec| spec["ociVersion"] = json!("2.0.0")));
    }

    #[test]
    fn processors_are_read_as_the_kernel_writes_them() {
        let numbers = |list| processors(list).map(|set| (0..16).filter(|&number| set.is_set(number)).collect::<Vec<_>>());
        assert_eq!(numbers("0-2,5"), Some(vec![0, 1, 2, 5]));
        assert_eq!(numbers(" 1 , 3-3"), Some(vec![1, 3]));
        for list in ["", "x", "3-1", "1-", "99999999", "-1"] {
            assert_eq!(numbers(list), None, "{list:?}");
        }
    }

    #[test]
    fn terminals_and_systemd_are_left_to_libcontainer_too() {
        let spec = serde_json::from_value(json!({ "ociVersion": "1.0.2", "linux": {} })).expect("a spec");
        let asked = |terminal, systemd_cgroup| TaskRequest { terminal, systemd_cgroup, ..TaskRequest::default() };
        assert!(is_ordinary(&asked(false, false), &spec));
        assert!(!is_ordinary(&asked(true, false), &spec) && !is_ordinary(&asked(false, true), &spec));
    }
}
