//! Pods with users of their own, as a kubelet makes those with `hostUsers: false`.

use std::fs::{self, Permissions, set_permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use containerd_tests::hijack::{Hijacked, int, threads};
use harness::cgroup::Cgroup;
use harness::cri::Node;
use harness::cri::v1::{ContainerConfig, IdMapping, ImageSpec, Mount};
use harness::process::{command_line, pids, status_field};
use harness::wait::holds;
use harness::{SpinApp, http, wait_for};

/// The user of the node that is root in the pods.
const ROOT: u32 = 1_000_000;

/// The user of a process, as the node knows it.
fn user_of(pid: i32) -> String {
    let ids = status_field(pid, pid, "Uid");
    let mut ids = ids.split('\t');
    let real = ids.next().expect("there is an id");
    assert!(ids.all(|id| id == real), "real, effective, saved and file system ids are the same");
    real.to_owned()
}

/// Leaves the configuration of a container as it is.
fn unchanged(_: &mut ContainerConfig) {}

/// A volume whose files have the same owners in a pod as on the node.
fn idmapped(source: &Path, target: &str) -> Mount {
    let map = vec![IdMapping { container_id: 0, host_id: ROOT, length: 65_536 }];
    Mount {
        host_path: source.display().to_string(),
        container_path: target.to_owned(),
        uid_mappings: map.clone(),
        gid_mappings: map,
        ..Mount::default()
    }
}

#[test]
fn handler_offers_user_namespaces() {
    assert!(Node::shared().features_with_users().user_namespaces);
}

#[test]
fn root_in_a_pod_with_its_own_users_is_another_user_on_the_node() {
    let node = Node::shared();
    let pod = node.pod_with_users("users", ROOT);
    assert_eq!(user_of(pod.pid()), "1000000", "the sandbox");
    for (name, container) in [("app", pod.app_with(unchanged)), ("sidecar", pod.sidecar_with(unchanged))] {
        assert_eq!(user_of(container.pid()), "1000000", "{name}");
        assert_eq!(container.exec_ok(&["id", "-u"]), "0\n", "{name}");
        let map = container.exec_ok(&["cat", "/proc/self/uid_map"]);
        assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", "1000000", "65536"], "{name}");
    }
}

#[test]
fn app_in_a_pod_with_its_own_users_answers() {
    let node = Node::shared();
    let pod = node.pod_with_users("users_answer", ROOT);
    let app = pod.app_with(unchanged);
    assert_eq!(pod.in_network(|| app.get("/index.html")).status, 200);
}

/// The image of such an app has no layers that could be mounted.
#[test]
fn spin_app_of_an_artifact_answers_in_a_pod_with_its_own_users() {
    let node = Node::shared();
    node.import("test.local/artifact:1", &SpinApp::http("hello-p2", "").artifact("test.local/artifact:1"));
    let pod = node.pod_with_users("users_artifact", ROOT);
    let image = ImageSpec { image: "test.local/artifact:1".to_owned(), ..ImageSpec::default() };
    let app = pod.app_with(|config| config.image = Some(image));
    assert_eq!(pod.in_network(|| app.get("/")).body.trim(), "hello");
    assert_eq!(user_of(app.pid()), "1065532", "the user of such images is 65532");
}

#[test]
fn files_of_an_image_belong_to_the_pods_root_and_can_be_changed() {
    let node = Node::shared();
    let pod = node.pod_with_users("users_image", ROOT);
    for container in [pod.app_with(unchanged), pod.sidecar_with(unchanged)] {
        assert_eq!(container.exec_ok(&["stat", "-c", "%u:%g", "/busybox"]), "0:0\n");
        container.exec_ok(&["chmod", "700", "/busybox"]);
        container.exec_ok(&["touch", "/new"]);
        let new = fs::metadata(format!("/proc/{}/root/new", container.pid())).expect("it is there");
        assert_eq!((new.uid(), new.gid()), (ROOT, ROOT));
    }
}

#[test]
fn files_of_an_idmapped_volume_have_the_same_owners_in_the_pod_and_on_the_node() {
    let (node, volume) = (Node::shared(), tempfile::tempdir().expect("a directory"));
    let file = volume.path().join("of-the-node");
    fs::write(&file, "").expect("written");
    let pod = node.pod_with_users("users_volume", ROOT);
    let mounted = |config: &mut ContainerConfig| {
        config.mounts.extend([idmapped(volume.path(), "/volume"), idmapped(&file, "/file")]);
    };
    for (name, container) in [("app", pod.app_with(mounted)), ("sidecar", pod.sidecar_with(mounted))] {
        for path in ["/volume/of-the-node", "/file"] {
            assert_eq!(container.exec_ok(&["stat", "-c", "%u:%g", path]), "0:0\n", "{name}: {path}");
        }
        container.exec_ok(&["touch", &format!("/volume/{name}")]);
        let made = fs::metadata(volume.path().join(name)).expect("it is there");
        assert_eq!((made.uid(), made.gid()), (0, 0), "{name}");
    }
}

#[test]
fn read_only_volumes_of_a_pod_with_its_own_users_cannot_be_written() {
    let (node, disk) = (Node::shared(), tempfile::tempdir().expect("a directory"));
    // A file system that forbids devices, which the container's root can't allow again. It has no
    // idmapped mounts before Linux 6.3.
    let memory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    set_permissions(memory.path(), Permissions::from_mode(0o777)).expect("the directory is ours");
    let mut volumes = [idmapped(disk.path(), "/disk"), idmapped(memory.path(), "/memory")];
    volumes.iter_mut().for_each(|volume| volume.readonly = true);
    (volumes[1].uid_mappings, volumes[1].gid_mappings) = (vec![], vec![]);
    let pod = node.pod_with_users("users_read_only", ROOT);
    let mounted = |config: &mut ContainerConfig| config.mounts.extend(volumes.clone());
    for container in [pod.app_with(mounted), pod.sidecar_with(mounted)] {
        for path in ["/disk/new", "/memory/new"] {
            let touched = container.exec(&["touch", path]);
            assert!(touched.stderr.contains("Read-only file system"), "{touched:?}");
        }
    }
}

#[test]
fn second_wall_of_a_spin_app_holds_in_a_pod_with_its_own_users() {
    let node = Node::shared();
    let pod = node.pod_with_users("users_wall", ROOT);
    let app = pod.app_with(unchanged);
    assert_eq!(pod.in_network(|| app.get("/index.html")).status, 200);
    for thread in threads(app.pid()) {
        let field = |name| status_field(app.pid(), thread, name);
        // The pod's filter and the app's own.
        assert_eq!(["Seccomp", "Seccomp_filters", "NoNewPrivs"].map(field), ["2", "2", "1"]);
        let mut thread = Hijacked::new(thread);
        let mut open = |path: &str| {
            let path = thread.text(path);
            thread.call(libc::SYS_openat, [int(libc::AT_FDCWD), path, int(libc::O_RDONLY)]).map(drop)
        };
        assert_eq!([open("/etc/hosts"), open("/spin.toml")], [Ok(()), Err(libc::EACCES)]);
    }
    app.exec_ok(&["cat", "/spin.toml"]);
}

#[test]
fn spin_app_keeps_key_value_data_in_an_idmapped_volume() {
    let (node, volume) = (Node::shared(), tempfile::tempdir().expect("a directory"));
    let app = SpinApp::http("kv", "key_value_stores = [\"default\"]");
    node.import("test.local/kv:1", &app.plain("test.local/kv:1"));
    let pod = node.pod_with_users("users_store", ROOT);
    let image = ImageSpec { image: "test.local/kv:1".to_owned(), ..ImageSpec::default() };
    let app = pod.app_with(|config| {
        config.image = Some(image);
        config.mounts.push(idmapped(volume.path(), "/.spin"));
    });
    pod.in_network(|| {
        assert_eq!(app.get("/").status, 200);
        assert_eq!(http::put(&app.url("/key"), "value").expect("an answer").status, 204);
        assert_eq!(app.get("/key").body, "value");
    });
    let file = fs::read_dir(volume.path()).expect("a directory").flatten().next().expect("a file of the store");
    assert_eq!(file.metadata().expect("it is there").uid(), 0, "{:?}", file.path());
}

#[test]
fn removed_pod_with_its_own_users_leaves_no_cgroup_process_or_mount() {
    let (node, volume) = (Node::shared(), tempfile::tempdir().expect("a directory"));
    fs::write(volume.path().join("of-the-node"), "").expect("written");
    let pod = node.pod_with_users("users_gone", ROOT);
    let mounted = |config: &mut ContainerConfig| config.mounts.push(idmapped(volume.path(), "/volume"));
    let (app, sidecar) = (pod.app_with(mounted), pod.sidecar_with(mounted));
    let cgroups = [pod.pid(), app.pid(), sidecar.pid()].map(Cgroup::of);
    let ids = [pod.id(), app.id(), sidecar.id()].map(str::to_owned);
    let _still_there = pod.remove();
    for cgroup in cgroups {
        assert!(cgroup.dirs().is_empty(), "{:?}", cgroup.dirs());
    }
    let named = |line: &str| ids.iter().any(|id| line.contains(id.as_str()));
    wait_for("the pod's shim to end", 10, || holds(!pids().into_iter().any(|pid| named(&command_line(pid)))));
    let mounts = fs::read_to_string("/proc/self/mounts").expect("proc is mounted");
    assert!(!mounts.lines().any(named), "{mounts}");
    assert!(volume.path().join("of-the-node").exists(), "the volume keeps its files");
}
