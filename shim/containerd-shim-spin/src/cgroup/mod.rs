//! The cgroup of a container, version 1 and 2: found once, then used through its directories.

mod enter;
mod hierarchies;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use serde::{Deserialize, Serialize};

pub use enter::expect_move;
use hierarchies::{Hierarchies, is_systemd_notation, scope_path};

use crate::sys;

/// Version 2's only hierarchy, in the map below.
const UNIFIED: &str = "";
/// The prefix of a named hierarchy of version 1 in `/proc/PID/cgroup`, where other hierarchies have their controllers.
const NAMED: &str = "name=";
/// The freezer of version 1 is given at most 20 ms to stop all processes.
const FREEZER_POLL: Duration = Duration::from_millis(1);
const MAX_FREEZER_POLLS: u32 = 20;

/// The directories of one cgroup: one for each controller in version 1, a single one in version 2.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Cgroup {
    dirs: BTreeMap<String, PathBuf>,
    /// Its path in each hierarchy.
    #[serde(default)]
    path: Option<PathBuf>,
}

impl Cgroup {
    /// The one a process is in.
    pub fn of_process(pid: u32) -> io::Result<Self> {
        let hierarchies = Hierarchies::mounted()?;
        let memberships = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        Ok(Self::of_memberships(&hierarchies, &memberships))
    }

    fn of_memberships(hierarchies: &Hierarchies, memberships: &str) -> Self {
        let (mut dirs, mut found) = (BTreeMap::new(), None);
        for line in memberships.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
            for controller in controllers.split(',') {
                if let Some(dir) = hierarchies.dir_of_member(controller, Path::new(path)) {
                    dirs.insert(controller.to_owned(), dir);
                    found = Some(PathBuf::from(path));
                }
            }
        }
        Self { dirs, path: found }
    }

    /// The same without hierarchies of version 1 that have no controllers.
    pub fn with_controllers(mut self) -> Self {
        self.dirs.retain(|controller, _| !controller.starts_with(NAMED));
        self
    }

    /// The one a spec's `cgroupsPath` means, whether it exists or not.
    ///
    /// Fails for systemd's notation where systemd isn't to make the cgroup: taken for a name, it would be a cgroup outside the
    /// pod's, where no limit of the pod holds.
    pub fn of_path(path: &str, systemd: bool) -> io::Result<Self> {
        let hierarchies = Hierarchies::mounted()?;
        if !systemd && is_systemd_notation(path) {
            let reason = format!(
                "the cgroup path {path:?} is in systemd's notation, but the runtime's options have no SystemdCgroup = true"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        let path = if systemd { scope_path(path) } else { path.to_owned() };
        let relative = path.trim_start_matches('/');
        let safe = Path::new(relative).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if relative.is_empty() || !safe {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("cgroup path {path:?}")));
        }
        Ok(Self { dirs: hierarchies.dirs_of(Path::new(relative)), path: Some(Path::new("/").join(relative)) })
    }

    /// Where a further process of the container goes, whose init process is this.
    ///
    /// A cgroup of version 2 that passes controllers on takes no processes: an init process that manages cgroups of its own,
    /// as systemd does, has moved itself below. Then a further process goes where it is.
    pub fn for_processes(self, init: u32) -> io::Result<Self> {
        let passes_on = self.unified_dir().and_then(|dir| fs::read_to_string(dir.join("cgroup.subtree_control")).ok());
        if passes_on.is_some_and(|controllers| !controllers.trim().is_empty()) { Self::of_process(init) } else { Ok(self) }
    }

    /// Its path in each hierarchy, from the hierarchy's root.
    pub fn relative_path(&self) -> Option<PathBuf> {
        self.path.clone()
    }

    /// The directories that a container sees of it with version 1: the name below `/sys/fs/cgroup`, and the place on the node.
    /// Controllers that are mounted together are seen under their joint name, and under the name of each.
    pub fn views(&self) -> Vec<(String, PathBuf)> {
        let mut views = BTreeMap::new();
        for (controller, dir) in &self.dirs {
            // A hierarchy without controllers, such as systemd's, has a name instead.
            let plain = |name: &'_ str| name.strip_prefix(NAMED).unwrap_or(name).to_owned();
            let together = self.dirs.iter().filter(|(_, other)| *other == dir).map(|(name, _)| plain(name));
            views.insert(together.collect::<Vec<_>>().join(","), dir.clone());
            views.insert(plain(controller), dir.clone());
        }
        views.into_iter().collect()
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

    /// Writes a file of a controller; `NotFound` where there is no such file, which a kernel or a node without the controller lacks.
    pub fn write(&self, controller: &str, file: &str, value: &str) -> io::Result<()> {
        let dir = self.dir(controller).ok_or(io::ErrorKind::NotFound)?;
        // Not created: that would be refused as not permitted.
        fs::OpenOptions::new().write(true).open(dir.join(file))?.write_all(value.as_bytes())
    }

    /// All processes in it and below it.
    pub fn pids(&self) -> Vec<u32> {
        let mut pids = Vec::new();
        if let Some(dir) = ["pids", "memory", "devices"].iter().find_map(|controller| self.dir(controller)) {
            collect_pids(dir, &mut pids);
        }
        pids
    }

    /// Sends a signal, by number, to every process in it.
    pub fn signal(&self, signal: u32) {
        let open = |pid: &u32| Some((*pid, pidfd_open(Pid::from_raw(pid.cast_signed())?, PidfdFlags::empty()).ok()?));
        let handles: Vec<_> = self.pids().iter().filter_map(open).collect();
        // A number that is still in the cgroup's list was not another process's when its pidfd was opened.
        let members: BTreeSet<u32> = self.pids().into_iter().collect();
        for (_, handle) in handles.iter().filter(|(pid, _)| members.contains(pid)) {
            let _gone = sys::signal(handle.as_fd(), signal);
        }
    }

    /// Kills every process in it, and those that they make meanwhile.
    pub fn kill(&self) {
        // Since Linux 5.14 the kernel does it in one go.
        if self.is_unified() && self.write(UNIFIED, "cgroup.kill", "1").is_ok() {
            return;
        }
        // A frozen process makes no more processes. In version 1 the signal ends it only when it is thawed.
        let _not_there = self.freeze(true).map(|()| self.wait_until_frozen());
        self.signal(Signal::KILL.as_raw().cast_unsigned());
        let _not_there = self.freeze(false);
    }

    /// In version 1 freezing takes as long as the last process is in the kernel. Not for ever: one may be stuck there.
    fn wait_until_frozen(&self) {
        let is_freezing = || self.read("freezer", "freezer.state").is_some_and(|state| state.trim() == "FREEZING");
        for _ in 0..MAX_FREEZER_POLLS {
            if !is_freezing() {
                return;
            }
            std::thread::sleep(FREEZER_POLL);
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

    /// How many of its processes the kernel killed for want of memory; none where the cgroup, or its controller, is gone.
    pub fn oom_kills(&self) -> Option<u64> {
        let file = if self.is_unified() { "memory.events" } else { "memory.oom_control" };
        oom_kills_in(&self.read("memory", file)?)
    }

    /// The same for the cgroup above, with all that are below that one; version 1 does not count so.
    pub fn oom_kills_above(&self) -> Option<u64> {
        oom_kills_in(&fs::read_to_string(self.unified_dir()?.parent()?.join("memory.events")).ok()?)
    }

    /// How many processors its quota amounts to; `None` where it has no quota. `NotFound` where there is no controller for that.
    pub fn cpus(&self) -> io::Result<Option<f64>> {
        let read = |file| self.read("cpu", file).ok_or(io::ErrorKind::NotFound);
        let text = match self.is_unified() {
            true => read("cpu.max")?,
            false => format!("{} {}", read("cpu.cfs_quota_us")?.trim(), read("cpu.cfs_period_us")?.trim()),
        };
        Ok(cpus_in(&text))
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

/// Of a quota and a period in microseconds. Without a quota the kernel writes `max` in its place, or -1 in version 1.
fn cpus_in(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

fn oom_kills_in(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "25 24 0:22 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        26 24 0:23 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
        27 24 0:24 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
        28 24 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn a_container_sees_controllers_that_are_mounted_together_under_each_name() {
        let cgroup = Cgroup::of_memberships(&Hierarchies::parse(HYBRID), "4:memory:/a\n3:cpu,cpuacct:/a\n2:name=systemd:/a\n");
        let views: Vec<_> = cgroup.views().into_iter().map(|(name, dir)| (name, dir.display().to_string())).collect();
        let expected = [
            ("cpu", "/sys/fs/cgroup/cpu/a"),
            ("cpu,cpuacct", "/sys/fs/cgroup/cpu/a"),
            ("cpuacct", "/sys/fs/cgroup/cpu/a"),
            ("memory", "/sys/fs/cgroup/memory/a"),
            ("systemd", "/sys/fs/cgroup/systemd/a"),
        ];
        assert_eq!(views, expected.map(|(name, dir)| (name.to_owned(), dir.to_owned())));
    }

    #[test]
    fn a_cgroup_with_controllers_has_no_directory_in_a_hierarchy_without_any() {
        let cgroup = Cgroup::of_memberships(&Hierarchies::parse(HYBRID), "4:memory:/a\n2:name=systemd:/\n").with_controllers();
        assert_eq!(cgroup.dirs.into_keys().collect::<Vec<_>>(), ["memory"]);
    }

    #[test]
    fn quota_of_processors_is_read_in_both_notations() {
        for (text, cpus) in
            [("200000 100000\n", Some(2.0)), ("50000 100000", Some(0.5)), ("max 100000\n", None), ("-1 100000", None)]
        {
            assert_eq!(cpus_in(text), cpus, "{text}");
        }
    }

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
    fn systemds_notation_is_never_taken_for_a_name() {
        for path in ["kubepods-burstable-pod1.slice:cri-containerd:abc", "a.slice:b:c", ":cri:abc", "a.slice:b:c:d"] {
            let error = Cgroup::of_path(path, false).expect_err("refused");
            assert!(error.to_string().contains("SystemdCgroup"), "{path}: {error}");
        }
    }

    #[test]
    fn a_path_may_not_leave_the_hierarchy() {
        for path in ["", "/", "../../etc", "/a/../../b"] {
            assert!(Cgroup::of_path(path, false).is_err(), "{path}");
        }
    }
}
