//! Containers with a new user namespace whose ids have several ranges, as `nerdctl` and other clients
//! of containerd ask for them. CRI has one range.

use std::fs::{self, Permissions, set_permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use containerd_tests::{container, with_cgroups};
use harness::containerd::pause_program;
use harness::process::status_field;
use harness::shim::{Bundle, program};
use harness::{Containerd, SpinApp, http, image, wait_for};
use serde_json::{Value, json};

/// The user of the node that is root in the containers.
const ROOT: u32 = 1_000_000;
/// The user of the node that is the user 1001 in the containers.
const USER: &str = "1070001";

/// Ranges of ids: the first one in the container, the first one on the node, and their number.
const RANGES: [(u32, u32, u32); 2] = [(0, ROOT, 1000), (1000, ROOT + 70_000, 1000)];

/// Gives a container a new user namespace with several ranges and the user 1001, and its root file
/// system the options that a snapshotter gives it.
fn with_ranges(bundle: Bundle<'_>) -> Bundle<'_> {
    let ranges = RANGES.map(|(container, node, size)| json!({ "containerID": container, "hostID": node, "size": size }));
    let text = RANGES.map(|(container, node, size)| format!("{container}:{node}:{size}")).join(",");
    let bundle = bundle.edited(|spec| {
        spec["linux"]["uidMappings"] = json!(ranges);
        spec["linux"]["gidMappings"] = json!(ranges);
        spec["linux"]["namespaces"].as_array_mut().expect("there are namespaces").push(json!({ "type": "user" }));
        spec["process"]["user"] = json!({ "uid": 1001, "gid": 1001 });
        // Only the owner of a network may mount sysfs, and this container has the node's.
        spec["mounts"].as_array_mut().expect("there are mounts").retain(|mount: &Value| mount["type"] != "sysfs");
        with_cgroups(spec);
    });
    let bundle = bundle.with_root(|mount| {
        let upper = mount.options.iter().find_map(|option| option.strip_prefix("upperdir="));
        chown(upper.expect("it is an overlay"), Some(ROOT), Some(ROOT)).expect("the directory is ours");
        mount.options.extend([format!("uidmap={text}"), format!("gidmap={text}")]);
    });
    // containerd gives the bundle to the group of the container's root.
    chown(bundle.dir(), None, Some(ROOT)).expect("the bundle is ours");
    set_permissions(bundle.dir(), Permissions::from_mode(0o710)).expect("the bundle is ours");
    bundle
}

/// The owner that a file in a container's root file system has on the node.
fn owner_on_node(pid: i32, path: &str) -> (u32, u32) {
    let about = fs::metadata(format!("/proc/{pid}/root{path}")).expect("it is there");
    (about.uid(), about.gid())
}

#[test]
fn native_container_has_a_new_user_namespace_with_several_ranges() {
    let (containerd, files) = (Containerd::v2(), tempfile::tempdir().expect("a directory"));
    fs::copy(pause_program(), files.path().join("pause")).expect("the pause program is built");
    chown(files.path().join("pause"), Some(1001), Some(1)).expect("the file is ours");
    let archive = containerd.dir().join("ranges.tar");
    image::from_scratch(files.path(), "test.local/ranges:1", &archive);
    container(&containerd, "ranges", &archive, "/pause");
    let bundle = with_ranges(Bundle::new(&containerd, "ranges"));
    let task = bundle.start(&program());
    let pid = task.create();
    task.run().expect("started");
    assert_eq!(status_field(pid, pid, "Uid"), [USER; 4].join("\t"));
    assert_eq!(owner_on_node(pid, "/pause"), (1_070_001, 1_000_001));
}

#[test]
fn spin_app_has_a_new_user_namespace_with_several_ranges() {
    let containerd = Containerd::v2();
    let app = SpinApp::http("hello-p2", "");
    let address = container(&containerd, "app-ranges", &app.plain("test.local/app-ranges:1"), "/");
    let bundle = with_ranges(Bundle::new(&containerd, "app-ranges"));
    let task = bundle.start(&program());
    let pid = task.create();
    task.run().expect("started");
    let answer = wait_for("the app", 30, || http::get(&format!("http://{address}/")));
    assert_eq!(answer.body.trim(), "hello");
    assert_eq!(status_field(pid, pid, "Uid"), [USER; 4].join("\t"));
    assert_eq!(owner_on_node(pid, "/spin.toml"), (ROOT, ROOT));
}
