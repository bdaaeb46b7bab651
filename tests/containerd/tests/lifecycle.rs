//! The life of tasks: containerd restarts, what is left behind, native containers beside Spin apps.

use std::fs;

use containerd_tests::leftovers::assert_deleted_task_leaves_nothing;
use harness::containerd::pause_program;
use harness::process::{command_line, pids};
use harness::shim::program;
use harness::wait::holds;
use harness::{Containerd, SpinApp, wait_for};

fn survives(signal: i32) {
    let mut containerd = Containerd::v2();
    containerd.import(&SpinApp::http("hello-p2", "").plain("test.local/survivor:1"));
    let url = containerd.run_detached("survivor", "test.local/survivor:1");
    containerd.restart(signal);
    assert_eq!(harness::http::get(&url).map(|answer| answer.status), Ok(200));
    let tasks = containerd.ctr_ok(&["tasks", "ls"]);
    assert!(tasks.contains("RUNNING"), "{tasks}");
    assert!(!containerd.ctr_ok(&["tasks", "ps", "survivor"]).is_empty());
    containerd.ctr_ok(&["tasks", "rm", "--force", "survivor"]);
}

#[test]
fn an_app_serves_on_when_containerd_is_restarted() {
    survives(15);
}

#[test]
fn an_app_serves_on_when_containerd_is_killed() {
    survives(9);
}

#[test]
fn no_process_mount_or_cgroup_outlives_its_task() {
    assert_deleted_task_leaves_nothing(&Containerd::v2());
}

#[test]
fn a_killed_shim_leaves_nothing_that_stops_the_next_start() {
    let containerd = Containerd::v2();
    containerd.import(&SpinApp::http("hello-p2", "").plain("test.local/again:1"));
    let url = containerd.run_detached("again", "test.local/again:1");
    let pid = containerd.shim_of("again");
    harness::process::signal(pid, 9);
    wait_for("the app to end with its shim", 15, || holds(harness::http::get(&url).is_err()));
    containerd.ctr(&["tasks", "rm", "--force", "again"]);
    containerd.ctr_ok(&["containers", "rm", "again"]);
    let url = containerd.run_detached("again", "test.local/again:1");
    assert_eq!(harness::http::get(&url).map(|answer| answer.status), Ok(200));
}

#[test]
fn metrics_pids_and_info_of_a_task_can_be_had() {
    let containerd = Containerd::v2();
    let task = containerd.serve("seen", &SpinApp::http("hello-p2", ""));
    task.get("/");
    let metrics = containerd.ctr_ok(&["tasks", "metrics", "seen"]);
    assert!(metrics.contains("memory"), "{metrics}");
    assert!(containerd.ctr_ok(&["tasks", "ps", "seen"]).contains(&task.pid().to_string()));
}

#[test]
fn what_the_shim_cannot_do_is_not_implemented_and_does_the_task_no_harm() {
    let containerd = Containerd::v2();
    let task = containerd.serve("whole", &SpinApp::http("hello-p2", ""));
    task.get("/");
    let said = harness::process::said(&containerd.ctr(&["tasks", "checkpoint", "whole"]));
    assert!(said.contains("not implemented") || said.contains("Unimplemented"), "{said}");
    assert_eq!(task.get("/").status, 200);
}

/// The program's headers, and its dynamic section if it has one.
fn headers() -> String {
    harness::process::run(std::process::Command::new("readelf").arg("-ldW").arg(program()))
}

#[test]
fn the_shim_is_one_static_file() {
    let headers = headers();
    assert!(headers.contains("LOAD") && !headers.contains("INTERP") && !headers.contains("NEEDED"), "{headers}");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_shims_file_can_be_mapped_in_large_pages() {
    const LARGE: u64 = 2 << 20;
    let headers = headers();
    let number = |column: &str| u64::from_str_radix(column.trim_start_matches("0x"), 16).expect("a number");
    let mut mapped = 0;
    for line in headers.lines() {
        // Type, offset, address, physical address, length in the file, in memory, flags, alignment.
        let columns: Vec<&str> = line.split_whitespace().collect();
        if columns.first() == Some(&"LOAD") && columns[6] == "R" {
            assert_eq!(number(columns[1]) % LARGE, number(columns[2]) % LARGE, "{headers}");
            mapped += number(columns[4]);
        }
    }
    assert!(mapped > LARGE, "{headers}");
}

#[test]
fn info_answers_at_once_without_a_bundle() {
    let output = std::process::Command::new(program()).arg("-info").current_dir("/").stdin(std::process::Stdio::null()).output();
    let output = output.expect("the shim can be run");
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("io.containerd.spin.v2"));
}

#[test]
fn an_exec_of_what_the_image_does_not_hold_says_so() {
    let containerd = Containerd::v2();
    let task = containerd.serve("noexec", &SpinApp::http("hello-p2", ""));
    task.get("/");
    let output = containerd.ctr(&["tasks", "exec", "--exec-id", "x", "noexec", "/bin/sh"]);
    let said = harness::process::said(&output);
    assert!(!output.status.success() && said.contains("/bin/sh") && said.contains("no such file"), "{said}");
}

#[test]
fn programs_run_in_an_apps_container_several_at_once_and_leave_nothing_of_theirs() {
    let containerd = Containerd::v2();
    let app = SpinApp::http("hello-p2", "");
    fs::copy(pause_program(), app.dir().join("pause")).expect("the pause program is built");
    let task = containerd.serve("execs", &app);
    task.get("/");
    std::thread::scope(|scope| {
        for id in ["one", "two", "three"] {
            let containerd = &containerd;
            scope.spawn(move || containerd.ctr_ok(&["tasks", "exec", "-d", "--exec-id", id, "execs", "/pause"]));
        }
    });
    // None of a process that has ended since it was listed; the app's own must be there.
    let namespace = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let own = namespace(task.pid()).expect("the app runs");
    let inside = pids().into_iter().filter(|pid| namespace(*pid).as_ref() == Some(&own));
    assert_eq!(inside.filter(|pid| command_line(*pid) == "/pause\0").count(), 3);
    let kept = || fs::read_dir(containerd.bundle("execs").join("container")).expect("the state is there").flatten();
    let of_theirs = || kept().filter(|entry| entry.path().is_dir() && entry.file_name() != "execs").count();
    wait_for("their directories to be gone", 10, || holds(of_theirs() == 0));
}
