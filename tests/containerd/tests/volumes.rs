//! Volumes of pods, as a kubelet has CRI mount them. All tests also hold for the pods of runc (`SPIN_TEST_HANDLER=runc`).

use std::path::{Path, PathBuf};

use harness::cri::v1::{ContainerConfig, Mount};
use harness::cri::{Container, Node};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// A volume in which a file system of its own is mounted.
struct Nested(tempfile::TempDir);

impl Nested {
    fn new() -> Self {
        let volume = tempfile::tempdir().expect("a directory");
        let nested = Self(volume);
        std::fs::create_dir(nested.below()).expect("made");
        mount("tmpfs", nested.below(), "tmpfs", MountFlags::empty(), None).expect("mounted");
        nested
    }

    fn below(&self) -> PathBuf {
        self.0.path().join("below")
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        unmount(self.below(), UnmountFlags::DETACH).unwrap_or_else(|error| eprintln!("a mount is left: {error}"));
    }
}

/// Mounts the directory on `/volume`, read-only; with all that is mounted in it or not.
fn read_only(directory: &Path, recursive: bool) -> impl Fn(&mut ContainerConfig) {
    let (host_path, container_path) = (directory.display().to_string(), "/volume".to_owned());
    let mount = Mount { host_path, container_path, readonly: true, recursive_read_only: recursive, ..Mount::default() };
    move |config| config.mounts.push(mount.clone())
}

fn writes(container: &Container<'_>, file: &str) -> String {
    let executed = container.exec(&["touch", file]);
    if executed.code == 0 { "done".to_owned() } else { executed.stderr.trim().to_owned() }
}

#[test]
fn handler_offers_recursive_read_only_mounts() {
    assert!(Node::shared().features().recursive_read_only_mounts);
}

#[test]
fn recursive_read_only_volume_can_be_written_nowhere() {
    let (node, volume) = (Node::shared(), Nested::new());
    let pod = node.pod("rro");
    let mounted = read_only(volume.0.path(), true);
    for container in [pod.app_with(&mounted), pod.sidecar_with(&mounted)] {
        for file in ["/volume/file", "/volume/below/file"] {
            assert!(writes(&container, file).contains("Read-only file system"), "{file}");
        }
    }
}

#[test]
fn read_only_volume_can_be_written_where_another_file_system_is_mounted() {
    let (node, volume) = (Node::shared(), Nested::new());
    let pod = node.pod("ro");
    let mounted = read_only(volume.0.path(), false);
    for container in [pod.app_with(&mounted), pod.sidecar_with(&mounted)] {
        assert!(writes(&container, "/volume/file").contains("Read-only file system"));
        assert_eq!(writes(&container, "/volume/below/file"), "done");
    }
}
