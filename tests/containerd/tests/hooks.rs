//! The spec's hooks: each is run at its time, with the state that the specification has, as under runc.

use std::fs;
use std::path::{Path, PathBuf};

use containerd_tests::{container, inside_program, with_inside};
use harness::shim::{Bundle, program};
use harness::wait::holds;
use harness::{Containerd, SpinApp, image, required_env, wait_for};
use serde_json::{Map, Value, json};

/// Hooks that are run on the node, or with its files in view.
const ON_THE_NODE: [&str; 5] = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];

/// Hooks of every kind that write the state they are given into a file of their own.
fn writing(out: &Path) -> Value {
    let write = |kind: &str| {
        let script = format!("cat >{}/{kind}.new && mv {0}/{kind}.new {0}/{kind}", out.display());
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] }])
    };
    let mut hooks: Value = ON_THE_NODE.iter().map(|kind| ((*kind).to_owned(), write(kind))).collect::<Map<_, _>>().into();
    hooks["startContainer"] = json!([{ "path": "/inside", "args": ["inside", "keep", "/out/startContainer"] }]);
    hooks
}

/// The state that a hook was given: its status, its process, whether its bundle is the container's.
fn state(out: &Path, kind: &str, pid: i32, bundle: &Path) -> Value {
    wait_for(kind, 10, || holds(out.join(kind).exists()));
    let state: Value = serde_json::from_slice(&fs::read(out.join(kind)).expect("read")).expect("JSON");
    let process = match state["pid"].as_i64() {
        Some(number) if number == i64::from(pid) => "as the node sees it",
        Some(1) => "as the container sees it",
        None | Some(0) => "none",
        Some(_) => "another",
    };
    let bundle = Path::new(state["bundle"].as_str().unwrap_or_default()) == bundle;
    json!({ "status": state["status"], "process": process, "bundle": bundle, "note": state["annotations"]["note"] })
}

/// Runs a container with hooks through its whole life; the state that each was given.
fn states(shim: &Path, containerd: &Containerd, id: &str, archive: &Path) -> Vec<(String, Value)> {
    let out = tempfile::tempdir().expect("a directory");
    container(containerd, id, archive, "/inside");
    let bundle = Bundle::new(containerd, id).edited(|spec| {
        spec["process"]["args"] = json!(["/inside", "sleep"]);
        spec["hooks"] = writing(out.path());
        spec["annotations"] = json!({ "note": "of the test" });
        let volume = json!({ "destination": "/out", "type": "bind", "source": out.path(), "options": ["rbind", "rw"] });
        spec["mounts"].as_array_mut().expect("there are mounts").push(volume);
    });
    let task = bundle.start(shim);
    let pid = task.create();
    assert!(!out.path().join("startContainer").exists(), "before the start");
    task.run().expect("started");
    task.kill(9);
    task.wait();
    assert!(!out.path().join("poststop").exists(), "before the deletion");
    task.delete().expect("deleted");
    let kinds = ON_THE_NODE.iter().chain(&["startContainer"]);
    kinds.map(|kind| ((*kind).to_owned(), state(out.path(), kind, pid, bundle.dir()))).collect()
}

fn native(containerd: &Containerd, id: &str) -> PathBuf {
    let files = tempfile::tempdir().expect("a directory");
    fs::copy(inside_program(), files.path().join("inside")).expect("the program is built");
    let archive = containerd.dir().join(format!("{id}.tar"));
    image::from_scratch(files.path(), &format!("test.local/{id}:1"), &archive);
    archive
}

#[test]
fn hooks_are_run_at_their_time_with_the_state_that_runc_gives_them() {
    let containerd = Containerd::v2();
    let runc = Path::new(&required_env("CONTAINERD_V2_BIN")).join("containerd-shim-runc-v2");
    let mut runcs = states(&runc, &containerd, "under-runc", &native(&containerd, "under-runc"));
    // runc runs these at the end of Create. The specification says: after the program is started.
    let (_, poststart) = runcs.iter_mut().find(|(kind, _)| kind == "poststart").expect("it was run");
    poststart["status"] = json!("running");
    let natives = states(&program(), &containerd, "under-shim", &native(&containerd, "under-shim"));
    assert_eq!(natives, runcs);
    let app = with_inside(SpinApp::http("hello-p2", ""));
    assert_eq!(states(&program(), &containerd, "app", &app.plain("test.local/app:1")), runcs);
}

/// A container with one hook, which fails.
fn failing<'a>(containerd: &'a Containerd, id: &str, kind: &str) -> Bundle<'a> {
    container(containerd, id, &native(containerd, id), "/inside");
    Bundle::new(containerd, id).edited(|spec| {
        spec["process"]["args"] = json!(["/inside", "sleep"]);
        spec["hooks"][kind] = json!([{ "path": "/bin/false" }]);
    })
}

#[test]
fn a_hook_of_the_creation_that_fails_is_no_container() {
    let containerd = Containerd::v2();
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let id = format!("failing-{}", kind.to_lowercase());
        let bundle = failing(&containerd, &id, kind);
        let error = bundle.start(&program()).try_create().expect_err(kind);
        assert!(error.contains("hook") && error.contains("non-zero exit code: 1"), "{kind}: {error}");
        assert!(containerd.cgroups().all(|dir| !dir.join(&id).exists()), "{kind}");
    }
}

#[test]
fn a_hook_after_the_start_that_fails_ends_the_container() {
    let containerd = Containerd::v2();
    let bundle = failing(&containerd, "poststart", "poststart");
    let task = bundle.start(&program());
    task.create();
    let error = task.run().expect_err("the hook failed");
    assert!(error.contains("hook") && error.contains("non-zero exit code: 1"), "{error}");
    assert_eq!(task.wait(), 137);
}

#[test]
fn a_hook_after_the_deletion_that_fails_is_logged() {
    let containerd = Containerd::v2();
    let bundle = failing(&containerd, "poststop", "poststop");
    let task = bundle.run(&program());
    task.kill(9);
    task.wait();
    task.delete().expect("the container is gone whatever the hook says");
    let log = bundle.dir().join("log");
    wait_for("the log", 10, || holds(fs::read_to_string(&log).is_ok_and(|log| log.contains("non-zero exit code: 1"))));
}

#[test]
fn a_container_of_the_same_id_follows_at_once() {
    let containerd = Containerd::v2();
    container(&containerd, "again", &native(&containerd, "again"), "/inside");
    for round in 0..10 {
        let bundle = Bundle::new(&containerd, "again").edited(|spec| spec["process"]["args"] = json!(["/inside", "sleep"]));
        let task = bundle.start(&program());
        assert!(task.try_create().is_ok(), "round {round}");
        task.run().expect("started");
        // Kill, delete and shutdown, and the next one without a pause.
        drop(task);
    }
}
