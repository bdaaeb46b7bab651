//! A container's init process.
//!
//! libcontainer's own way has one more process in between, which finds the cgroup's controllers, sets its limits and only then makes the init process.
//! Here the init process is a child of the helper's, born in its cgroup, and the limits are set beside its work. Whatever else the process between is
//! for goes libcontainer's way: see [`is_ordinary`].

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result};
use libcontainer::apparmor;
use libcontainer::process::args::ContainerType;
use libcontainer::validator::Validator;
use libcontainer::workload::Executor;
use oci_spec::runtime::{Linux, LinuxNamespaceType, LinuxSeccomp, LinuxSeccompAction, Spec};

use super::hooks::CreationHooks;
use super::placement::Placement;
use super::process::{Spawned, arguments, in_a_sentence, spawn};
use crate::bundle::{self, TaskRequest};

/// A container's init process, which waits for [`bundle::release`] once the container around it is complete.
pub struct Init(Spawned);

/// Whether the init process of such a container can be made here: no other users, clocks or network devices than the node's, and nobody who listens for
/// its system calls.
pub fn is_ordinary(spec: &Spec) -> bool {
    let Some(linux) = spec.linux() else { return false };
    let process = spec.process().as_ref();
    let profile = process.and_then(|process| process.apparmor_profile().as_ref());
    spec.version().starts_with("1.") && is_of_the_node(linux) && (profile.is_none() || apparmor::is_enabled().unwrap_or(false))
}

fn is_of_the_node(linux: &Linux) -> bool {
    let own = [LinuxNamespaceType::User, LinuxNamespaceType::Time];
    let none_of_its_own = !linux.namespaces().iter().flatten().any(|namespace| own.contains(&namespace.typ()));
    let no_devices = linux.net_devices().as_ref().is_none_or(|devices| devices.is_empty());
    none_of_its_own && no_devices && linux.intel_rdt().is_none() && !linux.seccomp().as_ref().is_some_and(is_listened_to)
}

fn is_listened_to(seccomp: &LinuxSeccomp) -> bool {
    let notify = LinuxSeccompAction::ScmpActNotify;
    seccomp.default_action() == notify || seccomp.syscalls().iter().flatten().any(|rule| rule.action() == notify)
}

impl Init {
    /// Makes it in its place. A terminal, if it is to have one, is sent over `console`.
    pub fn make(
        bundle: &Path,
        request: &TaskRequest,
        spec: &Rc<Spec>,
        executor: impl Executor + 'static,
        placement: &Placement,
        hooks: &CreationHooks,
        console: Option<OwnedFd>,
    ) -> Result<Self> {
        Validator::validate_spec(spec).map_err(in_a_sentence)?;
        let root = spec.root().as_ref().context("the spec names no root file system")?.path();
        let rootfs = fs::canonicalize(root).context("the root file system")?;
        let dir = bundle::container_dir(bundle, &request.id);
        fs::create_dir_all(&dir).context("making the state's directory")?;
        let mut args = arguments(ContainerType::InitContainer, request, spec, rootfs, &dir, Box::new(executor))?;
        args.console_socket = console.as_ref().map(AsRawFd::as_raw_fd);
        args.container = hooks.container(bundle, request)?;
        let mut spawned = spawn(&args, placement, None)?;
        if !hooks.is_empty() {
            spawned.run_hooks(|pid| hooks.run(bundle, request, spec, pid))?;
        }
        Ok(Self(spawned))
    }

    /// Its id, as this process and the daemon see it.
    pub fn pid(&self) -> u32 {
        self.0.pid
    }

    /// Waits until the container around it is complete.
    pub fn ready(mut self) -> Result<()> {
        self.0.wait_until_ready()
    }
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
        is_ordinary(&spec)
    }

    #[test]
    fn what_needs_more_than_an_init_process_is_left_to_libcontainer() {
        assert!(is_ordinary_with(|_| {}));
        assert!(!is_ordinary_with(|spec| spec["linux"]["namespaces"][1]["type"] = json!("user")));
        assert!(!is_ordinary_with(|spec| spec["linux"]["seccomp"]["syscalls"][0]["action"] = json!("SCMP_ACT_NOTIFY")));
        assert!(!is_ordinary_with(|spec| spec["linux"]["netDevices"] = json!({ "eth0": {} })));
        assert!(!is_ordinary_with(|spec| spec["ociVersion"] = json!("2.0.0")));
    }

    #[test]
    fn hooks_and_a_terminal_are_no_reason_to_leave_it_to_libcontainer() {
        assert!(is_ordinary_with(|spec| spec["hooks"] = json!({ "prestart": [{ "path": "/bin/true" }] })));
        assert!(is_ordinary_with(
            |spec| spec["process"] = json!({ "terminal": true, "cwd": "/", "user": { "uid": 0, "gid": 0 } })
        ));
    }
}
