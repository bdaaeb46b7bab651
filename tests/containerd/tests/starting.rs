//! What happens between a container's creation and its start, by calling the shim as containerd does.

use std::fs;
use std::net::TcpStream;
use std::path::Path;

use containerd_tests::{container, copies, hello, pause, with_cgroups};
use harness::http::get;
use harness::process::{command_line, parent, pids};
use harness::shim::{Bundle, Shim, program};
use harness::wait::holds;
use harness::{Containerd, SpinApp, wait_for};
use serde_json::{Value, json};

/// Creates the container and waits until its process is the app, which is so before it is started, and waits. The process.
fn create_app(task: &Shim<'_>) -> i32 {
    let pid = task.create();
    wait_for("the app to be executed", 10, || holds(command_line(pid).contains("--app")));
    quiet(pid);
    pid
}

/// Waits until every thread of a process waits for something.
fn quiet(pid: i32) {
    let stat = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let ticks = || stat().rsplit(") ").next().map(|rest| rest.split(' ').skip(11).take(2).collect::<Vec<_>>().join("+"));
    let mut before = None;
    wait_for("the app to wait", 10, || {
        let now = ticks();
        let same = stat().contains(") S ") && before == now;
        before = now;
        holds(same)
    });
}

#[test]
fn an_app_is_ready_before_its_start_and_listens_only_after_it() {
    let containerd = Containerd::v2();
    let address = hello(&containerd, "patient");
    let bundle = Bundle::new(&containerd, "patient");
    let task = bundle.start(&program());
    create_app(&task);
    assert!(TcpStream::connect(&address).is_err(), "it listens before it was started");
    task.run().expect("started");
    assert_eq!(get(&format!("http://{address}/")).map(|answer| answer.status), Ok(200));
}

#[test]
fn an_app_that_is_told_to_end_before_its_start_ends() {
    let containerd = Containerd::v2();
    hello(&containerd, "unwanted");
    let bundle = Bundle::new(&containerd, "unwanted");
    let task = bundle.start(&program());
    create_app(&task);
    task.kill(15);
    assert_eq!(task.wait(), 0);
    let refused = task.run().expect_err("there is nothing to start");
    assert!(refused.contains("not in the state"), "{refused}");
}

#[test]
fn an_app_that_can_not_run_says_so_when_it_is_started() {
    let containerd = Containerd::v2();
    let app = SpinApp::http("hello-p2", "").file("spin.toml", b"nonsense");
    container(&containerd, "bad", &app.plain("test.local/bad:1"), "/");
    let bundle = Bundle::new(&containerd, "bad");
    let task = bundle.start(&program());
    create_app(&task);
    task.run().expect("what is wrong with an app is no failure of the start");
    assert_eq!(task.wait(), 64);
}

#[test]
fn an_app_gives_no_way_to_write_to_the_nodes_program() {
    let containerd = Containerd::v2();
    hello(&containerd, "readonly");
    let bundle = Bundle::new(&containerd, "readonly");
    let task = bundle.start(&program());
    let program = format!("/proc/{}/exe", create_app(&task));
    // Of a program that runs, which is over at some time, this is looked at first with `truncate` alone.
    let refused = fs::File::options().write(true).truncate(true).open(program).expect_err("it is open for writing");
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
}

#[test]
fn an_app_sees_no_file_systems_that_it_has_no_use_for() {
    let containerd = Containerd::v2();
    hello(&containerd, "fitted");
    let bundle = Bundle::new(&containerd, "fitted").edited(with_cgroups);
    let task = bundle.start(&program());
    let mounts = fs::read_to_string(format!("/proc/{}/mounts", create_app(&task))).expect("the app lives");
    let kinds: Vec<_> = mounts.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    assert!(
        kinds.contains(&"proc") && !["sysfs", "cgroup", "cgroup2", "mqueue"].iter().any(|kind| kinds.contains(kind)),
        "{mounts}"
    );
}

#[test]
fn hooks_of_a_start_are_not_run_by_the_creation() {
    let containerd = Containerd::v2();
    hello(&containerd, "hooked");
    let missing = |spec: &mut Value| spec["hooks"] = json!({ "startContainer": [{ "path": "/is/not/there" }] });
    let bundle = Bundle::new(&containerd, "hooked").edited(missing);
    let task = bundle.start(&program());
    let pid = task.create();
    quiet(pid);
    let cmdline = command_line(pid);
    assert!(!cmdline.is_empty() && !cmdline.contains("--app"), "{cmdline}");
    let _said = task.run();
    assert_ne!(task.wait(), 0);
}

#[test]
fn an_app_may_have_as_many_files_as_its_container_allows() {
    let containerd = Containerd::v2();
    hello(&containerd, "files");
    let limited = |spec: &mut Value| spec["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 64, "hard": 4096 }]);
    let bundle = Bundle::new(&containerd, "files").edited(limited);
    let task = bundle.start(&program());
    let limits = fs::read_to_string(format!("/proc/{}/limits", create_app(&task))).expect("the app runs");
    let files: Vec<_> =
        limits.lines().filter(|line| line.starts_with("Max open files")).flat_map(str::split_whitespace).collect();
    assert_eq!(files[3..5], ["4096", "4096"], "{limits}");
}

#[test]
fn a_helper_that_was_killed_while_it_waited_is_replaced() {
    let containerd = Containerd::v2();
    let address = hello(&containerd, "replaced");
    let bundle = Bundle::new(&containerd, "replaced");
    let task = bundle.start(&program());
    let helper = wait_for("the first helper", 10, || {
        let copies = copies("replaced");
        let of_another = |pid: &&i32| parent(**pid).is_some_and(|parent| copies.contains(&parent));
        copies.iter().find(of_another).copied().ok_or("there is none")
    });
    harness::process::signal(helper, 9);
    // An exiting process has no command line any more, but still its end of the link; once it was reaped it has neither.
    wait_for("its end", 10, || holds(!Path::new(&format!("/proc/{helper}")).exists()));
    task.create();
    task.run().expect("started");
    assert_eq!(get(&format!("http://{address}/")).map(|answer| answer.status), Ok(200));
}

/// Marks the container as one of this pod.
fn of_pod(kind: &'static str) -> impl FnOnce(&mut Value) {
    move |spec| {
        spec["annotations"] = json!({ "io.kubernetes.cri.container-type": kind, "io.kubernetes.cri.sandbox-id": "pod" });
    }
}

/// Helpers that wait for work, or are at it.
fn helpers_of(daemon: i32) -> usize {
    pids().into_iter().filter(|pid| parent(*pid) == Some(daemon) && command_line(*pid).contains("--helper")).count()
}

#[test]
fn a_helper_waits_for_the_container_that_a_pod_will_have_and_none_after_it() {
    let containerd = Containerd::v2();
    pause(&containerd, "pod");
    let pod = Bundle::new(&containerd, "pod").edited(of_pod("sandbox"));
    let sandbox = pod.start(&program());
    let pid = sandbox.create();
    sandbox.run().expect("started");
    // Until its helper has ended, the container's process is the helper's child.
    let daemon =
        wait_for("a helper that waits", 10, || parent(pid).filter(|daemon| helpers_of(*daemon) == 1).ok_or("there is none"));

    let address = hello(&containerd, "member");
    let member = Bundle::new(&containerd, "member").edited(of_pod("container"));
    let app = member.start(&program());
    app.create();
    wait_for("no helper", 10, || holds(helpers_of(daemon) == 0));
    app.run().expect("started");
    assert_eq!(get(&format!("http://{address}/")).map(|answer| answer.status), Ok(200));
}
