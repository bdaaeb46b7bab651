//! What the tests in `tests/` share that call the shim as containerd does: containers that containerd knows and has no task of.

pub mod hijack;
pub mod leftovers;
pub mod ways_out;

use std::fs;
use std::path::{Path, PathBuf};

use harness::app::wasm;
use harness::containerd::pause_program;
use harness::http::free_port;
use harness::process::{command_line, pids, said};
use harness::{Containerd, SpinApp, image};
use serde_json::{Value, json};

/// A container of the image; the address it would serve at.
pub fn container(containerd: &Containerd, id: &str, archive: &Path, command: &str) -> String {
    let address = format!("127.0.0.1:{}", free_port());
    containerd.import(archive);
    let env = format!("SPIN_HTTP_LISTEN_ADDR={address}");
    let image = format!("test.local/{id}:1");
    containerd.ctr_ok(&[
        "containers",
        "create",
        "--net-host",
        "--runtime",
        "io.containerd.spin.v2",
        "--env",
        &env,
        &image,
        id,
        command,
    ]);
    address
}

/// A container of an app that answers "hello"; the address it would serve at.
pub fn hello(containerd: &Containerd, id: &str) -> String {
    container(containerd, id, &SpinApp::http("hello-p2", "").plain(&format!("test.local/{id}:1")), "/")
}

/// A container of that program.
pub fn pause(containerd: &Containerd, id: &str) {
    let files = tempfile::tempdir().expect("a directory");
    fs::copy(pause_program(), files.path().join("pause")).expect("the pause program is built");
    let archive = containerd.dir().join("pause.tar");
    image::from_scratch(files.path(), &format!("test.local/{id}:1"), &archive);
    container(containerd, id, &archive, "/pause");
}

/// With what CRI has in every container: a view of the cgroups.
pub fn with_cgroups(spec: &mut Value) {
    let mounts = spec["mounts"].as_array_mut().expect("there are mounts");
    mounts.push(json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"] }));
}

/// Processes of a shim that was started for this container: the daemon and its first helper, which is a copy of it.
pub fn copies(id: &str) -> Vec<i32> {
    let argument = format!("\0-id\0{id}\0");
    pids().into_iter().filter(|pid| command_line(*pid).contains(&argument)).collect()
}

/// A guest that nobody else has, because of a section that says nothing.
pub fn unique(guest: &str, name: &str) -> Vec<u8> {
    let length = |length: usize| u8::try_from(length).ok().filter(|length| *length < 0x80).expect("a short name");
    let section = [&[0, length(name.len() + 1), length(name.len())], name.as_bytes()].concat();
    [wasm(guest), section].concat()
}

/// The program that tests run inside containers; see its first lines.
pub fn inside_program() -> PathBuf {
    let tests = std::env::current_exe().expect("this program has a path");
    // Beside the directory of the tests' own programs.
    let target = tests.ancestors().nth(2).expect("tests lie in a target's directory");
    target.join("inside")
}

/// The app's image with that program as `/inside`.
pub fn with_inside(app: SpinApp) -> SpinApp {
    fs::copy(inside_program(), app.dir().join("inside")).expect("the program is built");
    app
}

/// Imports an image whose only file is that program.
pub fn import_inside(containerd: &Containerd, name: &str) {
    let files = tempfile::tempdir().expect("a directory");
    fs::copy(inside_program(), files.path().join("inside")).expect("the program is built");
    let archive = containerd.dir().join("inside.tar");
    image::from_scratch(files.path(), name, &archive);
    containerd.import(&archive);
}

/// What that program says in a container that runs and has it as `/inside`.
pub fn inside(containerd: &Containerd, id: &str, args: &[&str]) -> Value {
    let exec = ["tasks", "exec", "--exec-id", &format!("inside-{}", args.join("-")), id, "/inside"];
    let output = containerd.ctr(&[&exec[..], args].concat());
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)))
}
