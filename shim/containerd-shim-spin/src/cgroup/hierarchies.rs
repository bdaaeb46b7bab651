//! Where cgroups are mounted, by controller, and how a spec's path is read.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{NAMED, UNIFIED};

/// Where the hierarchies are mounted, by controller.
pub struct Hierarchies(BTreeMap<String, MountedAt>);

struct MountedAt {
    /// What of the hierarchy is mounted: not `/` inside a container of an older kind.
    root: PathBuf,
    mount_point: PathBuf,
}

impl Hierarchies {
    /// Those that this process sees.
    pub fn mounted() -> io::Result<Self> {
        Ok(Self::parse(&fs::read_to_string("/proc/self/mountinfo")?))
    }

    /// Version 1's controllers where there are any; else version 2 alone. In a mixed setup version 2 has no controllers.
    pub fn parse(mountinfo: &str) -> Self {
        let mut versions = [BTreeMap::new(), BTreeMap::new()];
        for line in mountinfo.lines() {
            let Some((mount, source)) = line.split_once(" - ") else { continue };
            let mut mount = mount.split(' ').skip(3).map(PathBuf::from);
            let mut source = source.split(' ');
            let (Some(root), Some(mount_point), Some(kind)) = (mount.next(), mount.next(), source.next()) else { continue };
            let options = source.nth(1).unwrap_or_default();
            match kind {
                "cgroup2" => drop(versions[1].entry(UNIFIED.to_owned()).or_insert(MountedAt { root, mount_point })),
                "cgroup" => {
                    for controller in options.split(',').filter(|name| CONTROLLERS.contains(name) || name.starts_with(NAMED)) {
                        let at = MountedAt { root: root.clone(), mount_point: mount_point.clone() };
                        versions[0].entry(controller.to_owned()).or_insert(at);
                    }
                }
                _ => {}
            }
        }
        let [one, two] = versions;
        let has_controllers = one.keys().any(|name| !name.starts_with(NAMED));
        Self(if has_controllers { one } else { two })
    }

    /// Where a member of this cgroup finds it.
    pub fn dir_of_member(&self, controller: &str, path: &Path) -> Option<PathBuf> {
        let at = self.0.get(controller)?;
        let below = path.strip_prefix(&at.root).unwrap_or(path);
        Some(at.mount_point.join(below.strip_prefix("/").unwrap_or(below)))
    }

    /// The directories of a cgroup below all the mount points.
    pub fn dirs_of(&self, relative: &Path) -> BTreeMap<String, PathBuf> {
        self.0.iter().map(|(controller, at)| (controller.clone(), at.mount_point.join(relative))).collect()
    }
}

const CONTROLLERS: [&str; 12] =
    ["blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "hugetlb", "memory", "net_cls", "net_prio", "perf_event", "pids"];

/// Whether a path is `slice:prefix:name`, as the kubelet has it where systemd makes cgroups; an empty slice is the default one.
pub fn is_systemd_notation(path: &str) -> bool {
    let mut parts = path.splitn(3, ':');
    let slice = parts.next().unwrap_or_default();
    parts.count() == 2 && !slice.contains('/') && (slice.is_empty() || slice.ends_with(".slice"))
}

/// systemd's notation `slice:prefix:name` as the path it stands for: `a-b.slice` lies in `a.slice`.
pub fn scope_path(notation: &str) -> String {
    let mut parts = notation.splitn(3, ':');
    let (Some(slice), Some(prefix), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
        return notation.to_owned();
    };
    let mut path = String::new();
    let stem = slice.strip_suffix(".slice").unwrap_or(slice);
    let ends = stem.match_indices('-').map(|(at, _)| at).chain([stem.len()]);
    for end in ends.filter(|&end| end > 0) {
        path.push_str(&format!("/{}.slice", &stem[..end]));
    }
    format!("{path}/{prefix}-{name}.scope")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_notation_becomes_nested_slices() {
        let path = scope_path("kubepods-besteffort-pod1.slice:cri-containerd:abc");
        assert_eq!(path, "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice/cri-containerd-abc.scope");
    }
}
