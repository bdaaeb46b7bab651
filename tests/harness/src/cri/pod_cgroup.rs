//! The cgroup of a pod, which the kubelet makes before the pod and removes after it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::cgroup::{Cgroup, ROOT, hierarchies, is_unified};
use crate::process::run;
use crate::wait::{holds, wait_for};

/// What makes cgroups on a node: the kubelet's `cgroupDriver`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CgroupDriver {
    /// Kubelet and runtime write to the cgroup file system.
    Cgroupfs,
    /// systemd does it for them.
    Systemd,
}

impl CgroupDriver {
    /// The one that `SPIN_TEST_CGROUP_DRIVER` names; cgroupfs where it is not set.
    pub fn from_env() -> Self {
        match std::env::var("SPIN_TEST_CGROUP_DRIVER").as_deref() {
            Err(_) | Ok("cgroupfs") => Self::Cgroupfs,
            Ok("systemd") => Self::Systemd,
            Ok(other) => panic!("SPIN_TEST_CGROUP_DRIVER is cgroupfs or systemd, not {other}"),
        }
    }
}

/// A pod's cgroup; removed with the value.
#[derive(Debug)]
pub struct PodCgroup {
    driver: CgroupDriver,
    cgroup: Cgroup,
}

impl PodCgroup {
    /// Makes the cgroup `POD` below `PODS`, with a memory limit in bytes. Both are words of letters, digits and underscores.
    pub fn new(driver: CgroupDriver, pods: &str, pod: &str, memory_limit: Option<u64>) -> Self {
        let path = match driver {
            CgroupDriver::Cgroupfs => format!("/{pods}/{pod}"),
            // A dash in the name of a slice means that it is in the slice that is named before it.
            CgroupDriver::Systemd => format!("/{pods}.slice/{pods}-{pod}.slice"),
        };
        let made = Self { driver, cgroup: Cgroup::at(&path) };
        match driver {
            CgroupDriver::Cgroupfs => made.make_directories(memory_limit),
            CgroupDriver::Systemd => made.start_slice(memory_limit),
        }
        made
    }

    /// What CRI takes as the pod's `cgroup_parent`.
    pub fn parent(&self) -> &str {
        self.cgroup.path()
    }

    /// The name of systemd's unit.
    fn slice(&self) -> &str {
        self.cgroup.path().rsplit('/').next().expect("a path has a last part")
    }

    /// The cgroup of a container of the pod.
    pub fn of_container(&self, id: &str) -> Cgroup {
        let path = self.cgroup.path();
        Cgroup::at(&match self.driver {
            CgroupDriver::Cgroupfs => format!("{path}/{id}"),
            CgroupDriver::Systemd => format!("{path}/cri-containerd-{id}.scope"),
        })
    }

    /// Makes the cgroup of a container, as a runtime does without systemd; to be removed before the pod's.
    pub fn make_container(&self, id: &str) -> Cgroup {
        for parent in self.cgroup.dirs() {
            let dir = parent.join(id);
            fs::create_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
            copy_cpuset(&parent, &dir);
        }
        self.of_container(id)
    }

    /// Its memory limit in bytes.
    pub fn memory_limit(&self) -> Option<u64> {
        self.cgroup.memory_limit()
    }

    fn make_directories(&self, memory_limit: Option<u64>) {
        for hierarchy in hierarchies() {
            let mut dir = hierarchy;
            for name in self.cgroup.path().split('/').skip(1) {
                let parent = dir.clone();
                dir.push(name);
                hand_down(&parent);
                fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
                copy_cpuset(&parent, &dir);
            }
            hand_down(&dir);
            for file in ["memory.max", "memory.limit_in_bytes"].map(|name| dir.join(name)) {
                if let (Some(bytes), true) = (memory_limit, file.exists()) {
                    fs::write(&file, bytes.to_string()).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
                }
            }
        }
    }

    fn start_slice(&self, memory_limit: Option<u64>) {
        let limit = memory_limit.unwrap_or(u64::MAX).to_string();
        let manager = ["org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"];
        let transient = ["StartTransientUnit", "ssa(sv)a(sa(sv))", self.slice(), "replace", "1", "MemoryMax", "t", &limit, "0"];
        run(Command::new("busctl").arg("call").args(manager).args(transient));
        wait_for("the pod's slice", 10, || holds(!self.cgroup.dirs().is_empty()));
    }
}

impl Drop for PodCgroup {
    fn drop(&mut self) {
        if self.driver == CgroupDriver::Systemd {
            let stopped = Command::new("systemctl").args(["stop", self.slice()]).status();
            if !stopped.is_ok_and(|status| status.success()) {
                eprintln!("a slice is left: {}", self.slice());
            }
        } else {
            for dir in self.cgroup.dirs() {
                fs::remove_dir(&dir).unwrap_or_else(|error| eprintln!("a cgroup is left: {}: {error}", dir.display()));
            }
        }
    }
}

/// Lets the children of a cgroup of version 2 have all its controllers.
fn hand_down(dir: &Path) {
    if is_unified() {
        let controllers = fs::read_to_string(dir.join("cgroup.controllers")).expect("a cgroup has controllers");
        let all: String = controllers.split_whitespace().map(|name| format!("+{name} ")).collect();
        fs::write(dir.join("cgroup.subtree_control"), all).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    }
}

/// A new cgroup of version 1 has no processors and takes no process before it is given some.
fn copy_cpuset(parent: &Path, dir: &Path) {
    if dir.starts_with(Path::new(ROOT).join("cpuset")) {
        for file in ["cpuset.cpus", "cpuset.mems"] {
            fs::copy(parent.join(file), dir.join(file)).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        }
    }
}
