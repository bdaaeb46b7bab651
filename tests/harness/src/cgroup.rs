//! Reading cgroups, of version 1 and 2 alike.

use std::fs;
use std::path::{Path, PathBuf};

/// Where cgroups are mounted.
pub const ROOT: &str = "/sys/fs/cgroup";

/// Whether this machine has cgroups of version 2 alone.
pub fn is_unified() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

/// The directories of the hierarchies: one in version 2; in version 1 one for each controller, and some without.
pub fn hierarchies() -> Vec<PathBuf> {
    if is_unified() {
        return vec![PathBuf::from(ROOT)];
    }
    let entries = fs::read_dir(ROOT).expect("cgroups are mounted").flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

/// A cgroup by its path from the root of each hierarchy, as in `/proc/PID/cgroup`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cgroup {
    path: String,
}

impl Cgroup {
    /// The one at this path, whether it exists or not.
    pub fn at(path: &str) -> Self {
        Self { path: path.to_owned() }
    }

    /// The one that a process is in. Panics where it is in different ones for different controllers.
    pub fn of(pid: i32) -> Self {
        let memberships =
            fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_else(|error| panic!("process {pid}: {error}"));
        let paths = paths_in(&memberships, is_unified());
        assert!(paths.windows(2).all(|pair| pair[0] == pair[1]), "process {pid} is in several cgroups:\n{memberships}");
        Self::at(paths.first().unwrap_or_else(|| panic!("process {pid} is in no cgroup:\n{memberships}")))
    }

    /// Its path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its directories, those that exist.
    pub fn dirs(&self) -> Vec<PathBuf> {
        let dirs = hierarchies().into_iter().map(|hierarchy| hierarchy.join(self.path.trim_start_matches('/')));
        dirs.filter(|dir| dir.is_dir()).collect()
    }

    /// The memory limit in bytes; none where there is no limit.
    pub fn memory_limit(&self) -> Option<u64> {
        // Version 1 has no word for "no limit" but a number that no machine reaches.
        self.read("memory", "memory.limit_in_bytes", "memory.max").parse().ok().filter(|bytes| *bytes < 1 << 60)
    }

    /// Microseconds of processor time in each period, and the period in microseconds.
    pub fn cpu_limit(&self) -> String {
        if is_unified() {
            return self.read("cpu", "", "cpu.max");
        }
        format!("{} {}", self.read("cpu", "cpu.cfs_quota_us", ""), self.read("cpu", "cpu.cfs_period_us", ""))
    }

    /// What a file of a controller holds, by its name in version 1 and 2.
    pub fn read(&self, controller: &str, version_1: &str, version_2: &str) -> String {
        let (root, file) = if is_unified() { (ROOT.into(), version_2) } else { (Path::new(ROOT).join(controller), version_1) };
        let file = root.join(self.path.trim_start_matches('/')).join(file);
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())).trim().to_owned()
    }
}

/// The paths in `/proc/PID/cgroup`, of the hierarchies that limit something.
fn paths_in(memberships: &str, unified: bool) -> Vec<&str> {
    let fields = memberships.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let limits =
        |controllers: &str| if unified { controllers.is_empty() } else { !controllers.is_empty() && !controllers.contains('=') };
    fields.filter(|(controllers, _)| limits(controllers)).map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_without_limits_do_not_count() {
        let hybrid = "3:name=systemd:/init\n2:memory:/a/b\n1:cpu,cpuacct:/a/b\n0::/c\n";
        assert_eq!(paths_in(hybrid, false), ["/a/b", "/a/b"]);
    }

    #[test]
    fn version_2_has_one_path() {
        assert_eq!(paths_in("0::/kubepods.slice/a:b\n", true), ["/kubepods.slice/a:b"]);
    }
}
