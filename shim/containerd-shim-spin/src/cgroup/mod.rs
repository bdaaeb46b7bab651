//! The cgroup of a container, version 1 and 2: found once, then used through its directories.

mod enter;
mod hierarchies;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

pub use enter::expect_move;
use hierarchies::{Hierarchies, scope_path};

/// Version 2's only hierarchy, in the map below.
const UNIFIED: &str = "";

/// The directories of one cgroup: one for each controller in version 1, a single one in version 2.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Cgroup {
    dirs: BTreeMap<String, PathBuf>,
}

impl Cgroup {
    /// The one a process is in.
    pub fn of_process(pid: u32) -> io::Result<Self> {
        let hierarchies = Hierarchies::mounted()?;
        let memberships = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        Ok(Self::of_memberships(&hierarchies, &memberships))
    }

    fn of_memberships(hierarchies: &Hierarchies, memberships: &str) -> Self {
        let mut dirs = BTreeMap::new();
        for line in memberships.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
            for controller in controllers.split(',') {
                if let Some(dir) = hierarchies.dir_of_member(controller, Path::new(path)) {
                    dirs.insert(controller.to_owned(), dir);
                }
            }
        }
        Self { dirs }
    }

    /// The one a spec's `cgroupsPath` means, whether it exists or not.
    pub fn of_path(path: &str, systemd: bool) -> io::Result<Self> {
        let hierarchies = Hierarchies::mounted()?;
        let path = if systemd { scope_path(path) } else { path.to_owned() };
        let relative = path.trim_start_matches('/');
        let safe = Path::new(relative).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if relative.is_empty() || !safe {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("cgroup path {path:?}")));
        }
        Ok(Self { dirs: hierarchies.dirs_of(Path::new(relative)) })
    }

    /// Whether this is version 2.
    pub fn is_unified(&self) -> bool {
        self.dirs.contains_key(UNIFIED)
    }

    /// Version 2's only directory.
    pub fn unified_dir(&self) -> Option<&Path> {
        self.dirs.get(UNIFIED).map(PathBuf::as_path)
    }

    /// A controller's directory; in version 2 the only one.
    pub fn dir(&self, controller: &str) -> Option<&Path> {
        self.dirs.get(controller).or_else(|| self.dirs.get(UNIFIED)).map(PathBuf::as_path)
    }

    /// A file of a controller; nothing where it isn't there (any more).
    pub fn read(&self, controller: &str, file: &str) -> Option<String> {
        fs::read_to_string(self.dir(controller)?.join(file)).ok()
    }

    /// All processes in it and below it.
    pub fn pids(&self) -> Vec<u32> {
        let mut pids = Vec::new();
        if let Some(dir) = ["pids", "memory", "devices"].iter().find_map(|controller| self.dir(controller)) {
            collect_pids(dir, &mut pids);
        }
        pids
    }

    /// Sends a signal to every process in it.
    pub fn signal(&self, signal: Signal) {
        let _not_frozen = self.freeze(false);
        for pid in self.pids() {
            if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
                let _gone = kill_process(pid, signal);
            }
        }
    }

    /// Stops every process in it where it stands, or lets them go on.
    pub fn freeze(&self, frozen: bool) -> io::Result<()> {
        let (file, value) = match (self.is_unified(), frozen) {
            (true, true) => ("cgroup.freeze", "1"),
            (true, false) => ("cgroup.freeze", "0"),
            (false, true) => ("freezer.state", "FROZEN"),
            (false, false) => ("freezer.state", "THAWED"),
        };
        let dir = self.dir("freezer").ok_or(io::ErrorKind::Unsupported)?;
        fs::write(dir.join(file), value)
    }

    /// How many of its processes the kernel killed for want of memory.
    pub fn oom_kills(&self) -> u64 {
        let file = if self.is_unified() { "memory.events" } else { "memory.oom_control" };
        let text = self.read("memory", file).unwrap_or_default();
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")).and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }

    /// Removes it with everything below it; fails as busy while a process is left.
    pub fn remove(&self) -> io::Result<()> {
        self.dirs.values().try_for_each(|dir| remove_tree(dir))
    }
}

fn collect_pids(dir: &Path, pids: &mut Vec<u32>) {
    let own = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    pids.extend(own.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|&pid| pid > 0));
    for child in child_dirs(dir) {
        collect_pids(&child, pids);
    }
}

fn remove_tree(dir: &Path) -> io::Result<()> {
    child_dirs(dir).iter().try_for_each(|child| remove_tree(child))?;
    match fs::remove_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn child_dirs(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "25 24 0:22 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        26 24 0:23 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
        27 24 0:24 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
        28 24 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn a_mixed_setup_counts_as_version_1() {
        let cgroup =
            Cgroup::of_memberships(&Hierarchies::parse(HYBRID), "4:memory:/a/b\n3:cpu,cpuacct:/a\n2:name=systemd:/x\n0::/y\n");
        assert!(!cgroup.is_unified());
        assert_eq!(cgroup.dir("memory"), Some(Path::new("/sys/fs/cgroup/memory/a/b")));
        assert_eq!(cgroup.dir("cpuacct"), Some(Path::new("/sys/fs/cgroup/cpu/a")));
        assert_eq!(cgroup.dir("freezer"), None);
    }

    #[test]
    fn version_2_has_one_directory_for_all_controllers() {
        let hierarchies = Hierarchies::parse("30 24 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
        let cgroup = Cgroup::of_memberships(&hierarchies, "0::/kubepods/pod1/c1\n");
        assert!(cgroup.is_unified());
        assert_eq!(cgroup.dir("memory"), Some(Path::new("/sys/fs/cgroup/kubepods/pod1/c1")));
    }

    #[test]
    fn a_mount_of_a_part_of_the_hierarchy_is_stripped_from_the_path() {
        let hierarchies = Hierarchies::parse("1 1 0:1 /docker/n1 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
        let cgroup = Cgroup::of_memberships(&hierarchies, "4:memory:/docker/n1/kubepods/p\n");
        assert_eq!(cgroup.dir("memory"), Some(Path::new("/sys/fs/cgroup/memory/kubepods/p")));
    }

    #[test]
    fn a_path_may_not_leave_the_hierarchy() {
        for path in ["", "/", "../../etc", "/a/../../b"] {
            assert!(Cgroup::of_path(path, false).is_err(), "{path}");
        }
    }
}
