//! A container's init process: made here, and set up by libcontainer.
//!
//! libcontainer's own way has one more process in between, which finds the cgroup's controllers, sets its limits and only then makes the init process. Here
//! that one is a child of the helper's, born in its cgroup, and the limits are set beside its work. Whatever else the process between is for goes
//! libcontainer's way: see [`is_ordinary`].

use std::ffi::CStr;
use std::fs;
use std::path::Path;
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
use oci_spec::runtime::{Linux, LinuxNamespaceType, LinuxResources, LinuxSeccomp, LinuxSeccompAction, Mount, Spec};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::set_name;

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
        let spec = Rc::new(spec);
        Validator::validate_spec(&spec).map_err(in_a_sentence)?;
        let dir = bundle::container_dir(bundle, &request.id);
        fs::create_dir_all(&dir).context("making the state's directory")?;
        let root = spec.root().as_ref().context("the spec names no root file system")?.path();
        let args = ContainerArgs {
            container_type: ContainerType::InitContainer,
            syscall: SyscallType::default(),
            spec: spec.clone(),
            rootfs: fs::canonicalize(root).context("the root file system")?,
            console_socket: None,
            notify_listener: NotifyListener::new(&dir.join(NOTIFY_FILE)).map_err(in_a_sentence)?,
            preserve_fds: 0,
            container: None,
            user_ns_config: None,
            cgroup_config: config_of(request, &spec)?,
            detached: true,
            executor: Box::new(executor),
            no_pivot: false,
            stdin: None,
            stdout: None,
            stderr: None,
            as_sibling: false,
            pid_file: None,
        };
        let (mut sender, news) = channel::main_channel().map_err(in_a_sentence)?;
        // Nothing is ever said to it.
        let (silent, mut receiver) = channel::init_channel().map_err(in_a_sentence)?;
        have_children_in_its_pid_namespace(&spec)?;
        let pid = cgroup.spawn(|entered| {
            let failed = match entered {
                Ok(()) => be(&args, &mut sender, &mut receiver).err(),
                Err(error) => Some(anyhow!("entering the cgroup: {error}")),
            };
            let message = failed.map_or_else(|| "the init process ended".to_owned(), |error| format!("{error:#}"));
            let _nobody_listens = sender.exec_failed(message);
        });
        for closed in [sender.close(), silent.close(), receiver.close()] {
            closed.map_err(in_a_sentence)?;
        }
        Ok(Self { pid: pid.context("copying this process")?, spec, news })
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
        match self.news.wait_for_init_ready() {
            Ok(()) => self.news.close().map_err(in_a_sentence),
            Err(ChannelError::ExecError(message)) => bail!("{}", message.trim_start_matches(PREFIX)),
            Err(_) => bail!("the container's init process was killed before the container was complete"),
        }
    }
}

fn config_of(request: &TaskRequest, spec: &Spec) -> Result<CgroupConfig> {
    let path = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().clone()).context("the spec names no cgroup")?;
    Ok(CgroupConfig { cgroup_path: path, systemd_cgroup: false, container_name: request.id.clone() })
}

/// A process stays in the namespace that it was born in.
fn have_children_in_its_pid_namespace(spec: &Spec) -> Result<()> {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let namespaces = Namespaces::try_from(namespaces).map_err(in_a_sentence)?;
    match namespaces.get(LinuxNamespaceType::Pid).map_err(in_a_sentence)? {
        Some(namespace) => namespaces.unshare_or_setns(namespace).map_err(in_a_sentence).context("the namespace of processes"),
        None => Ok(()),
    }
}

/// In the init process: comes back only with the reason why not.
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
    container_init_process(args, sender, receiver).map_err(in_a_sentence)
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
    fn terminals_and_systemd_are_left_to_libcontainer_too() {
        let spec = serde_json::from_value(json!({ "ociVersion": "1.0.2", "linux": {} })).expect("a spec");
        let asked = |terminal, systemd_cgroup| TaskRequest { terminal, systemd_cgroup, ..TaskRequest::default() };
        assert!(is_ordinary(&asked(false, false), &spec));
        assert!(!is_ordinary(&asked(true, false), &spec) && !is_ordinary(&asked(false, true), &spec));
    }
}
