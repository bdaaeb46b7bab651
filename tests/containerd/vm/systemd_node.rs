//! Pods on a node with systemd, AppArmor, every controller of cgroup v2 and all capabilities: what holds on any machine, and what
//! shows only there. Run by scripts/test-vm.sh with each cgroup driver.

/// In the same program, because they then share its containerd, whose start takes long in a virtual machine.
#[path = "../tests/cri.rs"]
mod cri;

use std::fs;
use std::process::Command;

use harness::cgroup::Cgroup;
use harness::cri::Node;
use harness::cri::v1::LinuxContainerResources;
use harness::process::run;

/// A memory limit, in bytes, and nothing else.
fn memory(limit: i64) -> LinuxContainerResources {
    LinuxContainerResources { memory_limit_in_bytes: limit, ..Default::default() }
}

/// What a file of version 2 holds for a container.
fn setting(cgroup: &Cgroup, file: &str) -> String {
    cgroup.read("", "", file)
}

#[test]
fn every_process_of_a_container_is_confined_by_the_runtimes_apparmor_profile() {
    let node = Node::shared();
    let pod = node.pod("apparmor");
    for container in [pod.app(memory(128 << 20)), pod.sidecar(memory(64 << 20))] {
        for process in ["1", "self"] {
            let profile = container.exec_ok(&["cat", &format!("/proc/{process}/attr/current")]);
            assert_eq!(profile.trim(), "cri-containerd.apparmor.d (enforce)", "process {process}");
        }
        // Nothing but the profile is in the way of root here.
        let executed = container.exec(&["sh", "-c", ": >>/proc/sysrq-trigger"]);
        assert!(executed.code != 0 && executed.stderr.contains("Permission denied"), "{executed:?}");
    }
}

/// The kernel's own number for who is killed first for want of memory.
fn oom_score_adj(pid: i32) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).expect("the process runs");
    text.trim().to_owned()
}

#[test]
fn containers_are_killed_for_want_of_memory_in_the_order_that_was_asked_for() {
    let node = Node::shared();
    let pod = node.pod("oom_score");
    let scored = |score| LinuxContainerResources { oom_score_adj: score, ..memory(128 << 20) };
    let (app, sidecar) = (pod.app(scored(900)), pod.sidecar(scored(-997)));
    // The first is containerd's own choice for sandboxes.
    assert_eq!([pod.pid(), app.pid(), sidecar.pid()].map(oom_score_adj), ["-998", "900", "-997"]);
    let executed = [&app, &sidecar].map(|container| container.exec_ok(&["cat", "/proc/self/oom_score_adj"]));
    assert_eq!(executed, ["900\n", "-997\n"]);
}

#[test]
fn containers_have_the_settings_of_cgroup_version_2_that_were_asked_for() {
    let node = Node::shared();
    let pod = node.pod("unified");
    let unified = [("pids.max", "57"), ("memory.high", "50331648")].map(|(file, value)| (file.to_owned(), value.to_owned()));
    let resources = LinuxContainerResources { unified: unified.clone().into(), ..memory(128 << 20) };
    for container in [pod.app(resources.clone()), pod.sidecar(resources.clone())] {
        let cgroup = Cgroup::of(container.pid());
        assert_eq!(unified.clone().map(|(file, _)| setting(&cgroup, &file)), unified.clone().map(|(_, value)| value));
    }
}

/// Kubernetes gives a container no swap, by a limit of memory and swap together that is the limit of memory.
#[test]
fn container_with_a_memory_limit_has_no_swap() {
    let node = Node::shared();
    let pod = node.pod("swap");
    for container in [pod.app(memory(128 << 20)), pod.sidecar(memory(64 << 20))] {
        assert_eq!(setting(&Cgroup::of(container.pid()), "memory.swap.max"), "0");
    }
}

/// systemd then writes the limits that it knows to every cgroup that it made.
#[test]
fn updated_limits_survive_a_reload_of_systemd() {
    let node = Node::shared();
    let pod = node.pod("reload");
    for container in [pod.app(memory(128 << 20)), pod.sidecar(memory(64 << 20))] {
        container.update(LinuxContainerResources { cpu_period: 100_000, cpu_quota: 20_000, ..memory(96 << 20) });
        run(Command::new("systemctl").arg("daemon-reload"));
        let cgroup = Cgroup::of(container.pid());
        assert_eq!((cgroup.memory_limit(), cgroup.cpu_limit().as_str()), (Some(96 << 20), "20000 100000"));
    }
}

#[test]
fn removed_pod_leaves_no_unit_of_systemd() {
    let node = Node::shared();
    let pod = node.pod("unit");
    let (app, sidecar) = (pod.app(memory(128 << 20)), pod.sidecar(memory(64 << 20)));
    let ids = [pod.id(), app.id(), sidecar.id()].map(str::to_owned);
    let _still_there = pod.remove();
    let units = run(Command::new("systemctl").args(["list-units", "--all", "--plain", "--no-legend"]));
    assert!(!units.lines().any(|unit| ids.iter().any(|id| unit.contains(id.as_str()))), "{units}");
}
