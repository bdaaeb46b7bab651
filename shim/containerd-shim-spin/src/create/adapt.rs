//! Changes a spec so that libcontainer does with it what runc does.

use std::path::PathBuf;

use anyhow::Result;
use oci_spec::runtime::{Capabilities, LinuxCapabilitiesBuilder, Mount, MountBuilder, Process, Spec};

use super::clamp;
use crate::cgroup::Cgroup;

/// Changes the spec of a container that is to be made in this cgroup, if that is known.
pub fn adapt(spec: &mut Spec, cgroup: Option<&Cgroup>) -> Result<()> {
    if let Some(process) = spec.process_mut() {
        adapt_process(process)?;
    }
    adapt_propagation(spec);
    if let Some(cgroup) = cgroup.filter(|cgroup| !cgroup.is_unified()) {
        adapt_cgroup_mounts(spec, cgroup);
    }
    Ok(())
}

/// Changes a process: the container's init process, or a further one.
pub fn adapt_process(process: &mut Process) -> Result<()> {
    // libcontainer keeps all capabilities where none are named; runc gives none.
    if process.capabilities().is_none() {
        let none = Capabilities::default;
        let sets = LinuxCapabilitiesBuilder::default().bounding(none()).effective(none()).inheritable(none());
        process.set_capabilities(Some(sets.permitted(none()).ambient(none()).build()?));
    }
    // libcontainer takes any value for a yes when it decides when to load the seccomp filter.
    if process.no_new_privileges() == Some(false) {
        process.set_no_new_privileges(None);
    }
    clamp::to_what_is_allowed(process)
}

/// libcontainer knows the recursive kinds of propagation, which containerd asks for, by their short names alone.
fn adapt_propagation(spec: &mut Spec) {
    let Some(linux) = spec.linux_mut() else { return };
    let short = match linux.rootfs_propagation().as_deref() {
        Some("rshared") => "shared",
        Some("rslave") => "slave",
        Some("rprivate") => "private",
        Some("runbindable") => "unbindable",
        _ => return,
    };
    linux.set_rootfs_propagation(Some(short.to_owned()));
}

/// Mounts a container's cgroups of version 1 by a bind mount each. libcontainer finds them by the number of its init process,
/// which in a namespace that it joined is another process's on the node, or nobody's; and makes them writable where they are to
/// be read-only, so that root in the container could raise its own limits.
fn adapt_cgroup_mounts(spec: &mut Spec, cgroup: &Cgroup) {
    let Some(mounts) = spec.mounts_mut() else { return };
    let replace = |mount: Mount| match mount.typ().as_deref() {
        Some("cgroup") => cgroup_mounts(&mount, cgroup),
        _ => vec![mount],
    };
    *mounts = std::mem::take(mounts).into_iter().flat_map(replace).collect();
}

fn cgroup_mounts(mount: &Mount, cgroup: &Cgroup) -> Vec<Mount> {
    let read_only = mount.options().iter().flatten().any(|option| option == "ro");
    let access = if read_only { "ro" } else { "rw" };
    let options = |list: &[&str]| list.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>();
    let base = MountBuilder::default()
        .destination(mount.destination())
        .typ("tmpfs")
        .source("tmpfs")
        .options(options(&["noexec", "nosuid", "nodev", "mode=755"]))
        .build();
    let view = |(name, dir): (String, PathBuf)| {
        let options = options(&["bind", "nosuid", "nodev", "noexec", access]);
        let view = MountBuilder::default().destination(mount.destination().join(name)).typ("bind").source(dir);
        view.options(options).build()
    };
    [base].into_iter().chain(cgroup.views().into_iter().map(view)).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn adapted(spec: Value) -> Value {
        let mut spec: Spec = serde_json::from_value(spec).expect("a spec");
        adapt(&mut spec, None).expect("adapted");
        serde_json::to_value(spec).expect("JSON")
    }

    fn process(process: Value) -> Value {
        adapted(json!({ "ociVersion": "1.1.0", "process": process }))["process"].clone()
    }

    #[test]
    fn a_process_without_capabilities_gets_none() {
        let process = process(json!({ "cwd": "/", "args": ["a"], "user": { "uid": 0, "gid": 0 } }));
        for set in ["bounding", "effective", "inheritable", "permitted", "ambient"] {
            assert_eq!(process["capabilities"][set], json!([]), "{set}");
        }
    }

    #[test]
    fn new_privileges_that_are_not_forbidden_are_not_mentioned() {
        let with = |value| json!({ "cwd": "/", "args": ["a"], "user": { "uid": 0, "gid": 0 }, "noNewPrivileges": value });
        assert_eq!(process(with(false)).get("noNewPrivileges"), None);
        assert_eq!(process(with(true))["noNewPrivileges"], true);
    }

    #[test]
    fn propagation_has_the_name_that_libcontainer_knows() {
        for (given, known) in [("rshared", "shared"), ("rslave", "slave"), ("rprivate", "private"), ("shared", "shared")] {
            let spec = adapted(json!({ "ociVersion": "1.1.0", "linux": { "rootfsPropagation": given } }));
            assert_eq!(spec["linux"]["rootfsPropagation"], known);
        }
    }
}
