//! What a task or a pod may leave on the node when it is removed: nothing.

use std::fs;

use harness::cgroup::Cgroup;
use harness::cri::Node;
use harness::cri::v1::LinuxContainerResources;
use harness::process::{command_line, pids};
use harness::wait::holds;
use harness::{Containerd, SpinApp, wait_for};

/// Runs a Spin app as a task, ends and deletes it. Asserts that none of its processes, mounts and cgroups is left.
pub fn assert_deleted_task_leaves_nothing(containerd: &Containerd) {
    let mut task = containerd.serve("gone", &SpinApp::http("hello-p2", ""));
    task.get("/");
    let left = || containerd.cgroups().map(|dir| dir.join("gone")).filter(|dir| dir.exists()).collect::<Vec<_>>();
    assert!(!left().is_empty(), "the task has a cgroup of its own");
    task.kill("TERM");
    assert_eq!(task.wait(), Some(0));
    containerd.ctr(&["tasks", "rm", "gone"]);
    let dir = containerd.dir().to_str().expect("a temporary path is text");
    let state = containerd.state().to_str().expect("a temporary path is text");
    assert_no_shim_names(&[dir]);
    assert_no_mount_names(&[dir, state]);
    assert!(left().is_empty(), "{:?}", left());
}

/// Runs a pod with an app and a sidecar and removes it. Asserts that none of its processes, mounts and cgroups is left.
pub fn assert_removed_pod_leaves_nothing(node: &Node) {
    let pod = node.pod("gone");
    let (app, sidecar) = (pod.app(LinuxContainerResources::default()), pod.sidecar(LinuxContainerResources::default()));
    let cgroups = [pod.pid(), app.pid(), sidecar.pid()].map(Cgroup::of);
    let ids = [pod.id(), app.id(), sidecar.id()].map(str::to_owned);
    let _still_there = pod.remove();
    for cgroup in cgroups {
        assert!(cgroup.dirs().is_empty(), "{:?}", cgroup.dirs());
    }
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    assert_no_shim_names(&ids);
    assert_no_mount_names(&ids);
}

/// Waits until no shim has one of these words in its arguments.
fn assert_no_shim_names(words: &[&str]) {
    let is_theirs = |line: &str| line.contains("containerd-shim-") && words.iter().any(|word| line.contains(word));
    wait_for("the shim to end", 10, || holds(!pids().into_iter().any(|pid| is_theirs(&command_line(pid)))));
}

fn assert_no_mount_names(words: &[&str]) {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("proc is mounted");
    let left: Vec<&str> = mounts.lines().filter(|line| words.iter().any(|word| line.contains(word))).collect();
    assert!(left.is_empty(), "{left:#?}");
}
