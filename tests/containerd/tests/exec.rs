//! Further programs in a container: `kubectl exec`, exec probes, hooks.

use std::fs;

use containerd_tests::{container, import_inside, inside, inside_program, with_inside};
use harness::process::{command_line, pids};
use harness::shim::{Bundle, program};
use harness::wait::holds;
use harness::{Containerd, SpinApp, image, wait_for};
use serde_json::Value;

/// What in `/proc/PID/status` tells what a process may do.
const RIGHTS: [&str; 11] =
    ["Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "Umask"];

/// A container's flags: a seccomp filter, a user, fewer capabilities.
const RESTRICTED: [&str; 5] = ["--seccomp", "--user", "1000:1000", "--cap-drop", "CAP_CHOWN"];

/// The init process may have filters of its own besides the container's.
fn assert_same_rights(status: &Value, filters_of_init: u64) {
    for field in RIGHTS {
        assert_eq!(status["own"][field], status["init"][field], "{field}");
    }
    assert_eq!(status["own"]["Seccomp"], "2", "there is a filter");
    let filters = |whose: &str| status[whose]["Seccomp_filters"].as_str().and_then(|count| count.parse::<u64>().ok());
    assert_eq!(filters("init"), filters("own").map(|count| count + filters_of_init));
}

#[test]
fn a_program_in_an_apps_container_has_the_apps_rights_and_the_containers_filter_alone() {
    let containerd = Containerd::v2();
    containerd.import(&with_inside(SpinApp::http("hello-p2", "")).plain("test.local/app:1"));
    for (id, flags) in [("root", &RESTRICTED[..1]), ("restricted", &RESTRICTED[..])] {
        let task = containerd.run(id, "test.local/app:1", flags);
        assert_eq!(task.get("/").status, 200);
        assert_same_rights(&inside(&containerd, id, &["status"]), 1);
    }
}

#[test]
fn a_program_in_a_native_container_has_the_rights_and_filter_of_its_init_process() {
    let containerd = Containerd::v2();
    import_inside(&containerd, "test.local/native:1");
    for (id, flags) in [("root", &RESTRICTED[..1]), ("restricted", &RESTRICTED[..])] {
        let run = ["run", "-d", "--null-io", "--runtime", "io.containerd.spin.v2"];
        containerd.ctr_ok(&[&run[..], flags, &["test.local/native:1", id, "/inside", "sleep"]].concat());
        assert_same_rights(&inside(&containerd, id, &["status"]), 0);
    }
}

/// A container, created but not started, whose program waits until it is killed.
fn sleeping<'a>(containerd: &'a Containerd, id: &str) -> Bundle<'a> {
    let files = tempfile::tempdir().expect("a directory");
    fs::copy(inside_program(), files.path().join("inside")).expect("the program is built");
    let archive = containerd.dir().join(format!("{id}.tar"));
    image::from_scratch(files.path(), &format!("test.local/{id}:1"), &archive);
    container(containerd, id, &archive, "/inside");
    Bundle::new(containerd, id).edited(|spec| spec["process"]["args"] = ["/inside", "sleep"].into())
}

#[test]
fn a_paused_container_takes_no_program_and_takes_it_when_it_goes_on() {
    let containerd = Containerd::v2();
    let bundle = sleeping(&containerd, "paused");
    let task = bundle.run(&program());
    task.exec("early", &["/inside", "status"]).expect("noted");
    task.pause().expect("paused");
    for refused in [task.start_exec("early").map(drop), task.exec("late", &["/inside", "status"])] {
        let error = refused.expect_err("refused at once");
        assert!(error.contains("FAILED_PRECONDITION") && error.contains("paused"), "{error}");
    }
    task.resume().expect("goes on");
    task.start_exec("early").expect("it runs now");
    assert_eq!(task.wait_exec("early"), 0);
}

#[test]
fn a_container_that_has_ended_takes_no_program() {
    let containerd = Containerd::v2();
    let bundle = sleeping(&containerd, "ended");
    let task = bundle.start(&program());
    task.create();
    let error = task.exec("early", &["/inside", "status"]).expect_err("refused before the start");
    assert!(error.contains("not started"), "{error}");
    task.run().expect("started");
    task.exec("noted", &["/inside", "status"]).expect("noted");
    task.kill(9);
    task.wait();
    for refused in [task.start_exec("noted").map(drop), task.exec("late", &["/inside", "status"])] {
        let error = refused.expect_err("refused");
        assert!(error.contains("FAILED_PRECONDITION") && error.contains("ended"), "{error}");
    }
}

#[test]
fn a_paused_container_that_is_killed_ends() {
    let containerd = Containerd::v2();
    for all in [false, true] {
        let bundle = sleeping(&containerd, "frozen");
        let task = bundle.run(&program());
        task.pause().expect("paused");
        task.try_kill(9, all).expect("killed");
        assert_eq!(task.wait(), 137, "all: {all}");
        assert_eq!(format!("{:?}", task.status()), "STOPPED");
        drop(task);
        drop(bundle);
        containerd.ctr_ok(&["containers", "rm", "frozen"]);
    }
}

#[test]
fn every_signal_that_the_kernel_has_can_be_sent() {
    let containerd = Containerd::v2();
    let bundle = sleeping(&containerd, "signalled");
    let task = bundle.run(&program());
    task.try_kill(0, false).expect("nothing is sent");
    let error = task.try_kill(65, false).expect_err("there is no such signal");
    assert!(error.contains("INVALID_ARGUMENT"), "{error}");
    // SIGRTMIN+3, which ends systemd in a container, and any program that has no other use for it. An init process ignores
    // what it has no handler for, so it is sent to another program.
    task.exec("other", &["/inside", "sleep"]).expect("noted");
    task.start_exec("other").expect("runs");
    task.try_kill_exec("other", 37).expect("sent");
    assert_eq!(task.wait_exec("other"), 128 + 37);
}

#[test]
fn a_program_has_the_terminal_that_its_request_alone_asks_for() {
    let containerd = Containerd::v2();
    let bundle = sleeping(&containerd, "terminal");
    let task = bundle.run(&program());
    task.exec_with("tty", &["/inside", "sleep"], |request| request.terminal = true).expect("noted");
    let pid = task.start_exec("tty").expect("runs");
    let input = fs::read_link(format!("/proc/{pid}/fd/0")).expect("it runs");
    assert!(input.starts_with("/dev/pts"), "{}", input.display());
}

#[test]
fn a_program_that_can_not_be_executed_leaves_no_process() {
    let containerd = Containerd::v2();
    let bundle = sleeping(&containerd, "missing");
    let task = bundle.run(&program());
    task.exec("missing", &["/is/not/there"]).expect("noted");
    let error = task.start_exec("missing").expect_err("there is no such file");
    assert!(error.contains("/is/not/there") && error.contains("no such file"), "{error}");
    let of_exec = |pid: &i32| command_line(*pid).contains("--helper");
    wait_for("no process of it", 10, || holds(!pids().iter().any(of_exec)));
}

#[test]
fn a_program_that_was_deleted_unstarted_has_the_exit_code_0() {
    let containerd = Containerd::v2();
    let bundle = sleeping(&containerd, "unstarted");
    let task = bundle.run(&program());
    task.exec("never", &["/inside", "sleep"]).expect("noted");
    assert_eq!(task.delete_exec("never"), Ok(0));
}

#[test]
fn a_process_that_lost_its_parent_leaves_no_zombie_in_an_apps_container() {
    let containerd = Containerd::v2();
    let task = containerd.serve("orphans", &with_inside(SpinApp::http("hello-p2", "")));
    assert_eq!(task.get("/").status, 200);
    for round in 0..3 {
        let exec_id = format!("leave-{round}");
        containerd.ctr_ok(&["tasks", "exec", "--exec-id", &exec_id, "orphans", "/inside", "orphan"]);
    }
    let children = format!("/proc/{0}/task/{0}/children", task.pid());
    wait_for("the ends of all orphans", 10, || holds(fs::read_to_string(&children).expect("the app runs").trim().is_empty()));
}
