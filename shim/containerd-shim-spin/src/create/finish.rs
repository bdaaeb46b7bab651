//! The last touches to a container's mounts, done from outside, in the container's mount namespace, once all is mounted: propagation, and paths that are
//! masked or read-only.
//!
//! libcontainer does the last two by path, in two steps each, which another process that shares a directory with the container could come between, leaves
//! what a masked link leads to readable, and forbids more on a read-only path than was asked; it ignores the propagation of single mounts. Here each path
//! is opened once, and what is mounted is attached to what was opened.
//!
//! The init process waits for its start meanwhile. Paths are looked up in the container's own root, which is the namespace's.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType, Mount, Spec};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, open_tree,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::copy_up::CopyUp;
use super::selinux::SELINUX;
use crate::sys;

/// What is left to do for one container.
#[derive(Debug, Default)]
pub struct Finish {
    propagation: Vec<(PathBuf, MountPropagationFlags)>,
    without_links: Vec<PathBuf>,
    read_only: Vec<PathBuf>,
    masked: Vec<PathBuf>,
    /// The SELinux label of what masks.
    label: Option<String>,
    copies: Vec<CopyUp>,
}

impl Finish {
    /// By its spec, out of which it takes what libcontainer would do otherwise. `root` is the container's, with nothing mounted in it yet.
    pub fn take(spec: &mut Spec, root: &Path) -> Result<Self> {
        let has_mounts = |namespace: &LinuxNamespace| namespace.typ() == LinuxNamespaceType::Mount;
        if !spec.linux().as_ref().is_some_and(|linux| linux.namespaces().iter().flatten().any(has_mounts)) {
            // It has the node's mounts.
            return Ok(Self::default());
        }
        let finish = Self { copies: CopyUp::take_all(spec, root)?, ..Self::of(spec) };
        if let Some(linux) = spec.linux_mut() {
            linux.set_masked_paths(None).set_readonly_paths(None);
        }
        Ok(finish)
    }

    fn of(spec: &Spec) -> Self {
        let Some(linux) = spec.linux() else { return Self::default() };
        let mounts = spec.mounts().as_deref().unwrap_or_default();
        let has = |mount: &Mount, wanted: &str| mount.options().iter().flatten().any(|option| option == wanted);
        let destination = |mount: &Mount| mount.destination().clone();
        Self {
            propagation: mounts.iter().filter_map(|mount| Some((destination(mount), propagation(mount)?))).collect(),
            without_links: mounts.iter().filter(|mount| has(mount, "nosymfollow")).map(destination).collect(),
            read_only: linux.readonly_paths().iter().flatten().map(PathBuf::from).collect(),
            masked: linux.masked_paths().iter().flatten().map(PathBuf::from).collect(),
            label: linux.mount_label().clone().filter(|label| !label.is_empty() && Path::new(SELINUX).exists()),
            copies: Vec::new(),
        }
    }

    fn is_empty(&self) -> bool {
        let Self { propagation, without_links, read_only, masked, copies, .. } = self;
        propagation.is_empty() && without_links.is_empty() && read_only.is_empty() && masked.is_empty() && copies.is_empty()
    }

    /// Does it, for the container of this init process; this process is in that directory afterwards.
    pub fn run(&self, init: u32, working_directory: &Path) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let own = File::open("/proc/self/ns/mnt").context("this process's mounts")?;
        let containers = File::open(format!("/proc/{init}/ns/mnt")).context("the container's mounts")?;
        let kind = Some(LinkNameSpaceType::Mount);
        // This process has one thread, whose root and working directory become those of the namespace.
        move_into_link_name_space(containers.as_fd(), kind).context("entering the container's mounts")?;
        let done = self.run_inside();
        move_into_link_name_space(own.as_fd(), kind).context("leaving the container's mounts")?;
        std::env::set_current_dir(working_directory).context("returning to the bundle")?;
        done
    }

    fn run_inside(&self) -> Result<()> {
        for copy in &self.copies {
            copy.run().with_context(|| format!("copying the image's {}", copy.destination.display()))?;
        }
        for (path, propagation) in &self.propagation {
            mount_change(path, *propagation).with_context(|| format!("the propagation of {}", path.display()))?;
        }
        for path in &self.without_links {
            sys::forbid_links(path).with_context(|| format!("forbidding links in {}", path.display()))?;
        }
        for path in &self.read_only {
            make_read_only(path).with_context(|| format!("making {} read-only", path.display()))?;
        }
        for path in &self.masked {
            self.mask(path).with_context(|| format!("masking {}", path.display()))?;
        }
        Ok(())
    }

    /// Covers a path, or what it leads to: a directory with an empty one, anything else with the container's null device.
    fn mask(&self, path: &Path) -> io::Result<()> {
        let Some(target) = open(path)? else { return Ok(()) };
        let cover = if target.metadata()?.is_dir() { self.empty_directory()? } else { null_device()? };
        attach(&cover, &target)
    }

    fn empty_directory(&self) -> io::Result<OwnedFd> {
        let file_system = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(file_system.as_fd(), "source", "tmpfs")?;
        fsconfig_set_flag(file_system.as_fd(), "ro")?;
        if let Some(label) = &self.label {
            fsconfig_set_string(file_system.as_fd(), "context", CString::new(label.as_str())?)?;
        }
        fsconfig_create(file_system.as_fd())?;
        Ok(fsmount(file_system.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY)?)
    }
}

/// Opens what is at a path; `None` where there is nothing.
fn open(path: &Path) -> io::Result<Option<File>> {
    match rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => Ok(Some(file.into())),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The container's null device, as a mount of its own. An image could hold something else under the name.
fn null_device() -> io::Result<OwnedFd> {
    let device = File::from(rustix::fs::open("/dev/null", OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?);
    let metadata = device.metadata()?;
    let number = rustix::fs::makedev(1, 3);
    if !metadata.file_type().is_char_device() || metadata.rdev() != number {
        return Err(io::Error::other("/dev/null is not the null device"));
    }
    clone_of(&device, OpenTreeFlags::empty())
}

/// Mounts a path on itself, with what is mounted below it, so that it can't be written; what is below keeps its own rights.
fn make_read_only(path: &Path) -> io::Result<()> {
    let Some(target) = open(path)? else { return Ok(()) };
    let view = clone_of(&target, OpenTreeFlags::AT_RECURSIVE)?;
    sys::set_read_only(view.as_fd())?;
    attach(&view, &target)
}

fn clone_of(file: &File, flags: OpenTreeFlags) -> io::Result<OwnedFd> {
    let flags = flags | OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    Ok(open_tree(file, "", flags)?)
}

fn attach(mount: &OwnedFd, target: &File) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(mount, "", target, "", flags)?)
}

/// The kind of propagation that a mount's options ask for; the last one counts.
fn propagation(mount: &Mount) -> Option<MountPropagationFlags> {
    let flag = |option: &String| {
        Some(
            match option.trim_start_matches('r') {
                "private" => MountPropagationFlags::PRIVATE,
                "shared" => MountPropagationFlags::SHARED,
                "slave" => MountPropagationFlags::DOWNSTREAM,
                "unbindable" => MountPropagationFlags::UNBINDABLE,
                _ => return None,
            } | if option.starts_with('r') { MountPropagationFlags::REC } else { MountPropagationFlags::empty() },
        )
    };
    mount.options().iter().flatten().rev().find_map(flag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(mounts: serde_json::Value) -> Finish {
        let linux = json!({ "namespaces": [{ "type": "mount" }] });
        let spec = json!({ "ociVersion": "1.1.0", "mounts": mounts, "linux": linux });
        Finish::of(&serde_json::from_value(spec).expect("a spec"))
    }

    #[test]
    fn the_last_kind_of_propagation_counts_and_no_other_option_is_one() {
        let options = |list: &[&str]| {
            let mounts = of(json!([{ "destination": "/d", "type": "bind", "source": "/s", "options": list }]));
            mounts.propagation.into_iter().map(|(_, flags)| flags).next()
        };
        let recursive = MountPropagationFlags::REC;
        assert_eq!(options(&["rbind", "rprivate", "rw"]), Some(MountPropagationFlags::PRIVATE | recursive));
        assert_eq!(options(&["rslave", "shared"]), Some(MountPropagationFlags::SHARED));
        assert_eq!(options(&["rbind", "ro", "rro", "relatime"]), None);
    }

    #[test]
    fn nothing_is_done_to_the_nodes_own_mounts() {
        let mounts = json!([{ "destination": "/d", "type": "bind", "source": "/s", "options": ["rprivate"] }]);
        let spec = json!({ "ociVersion": "1.1.0", "mounts": mounts, "linux": { "maskedPaths": ["/proc/kcore"] } });
        let mut spec: Spec = serde_json::from_value(spec).expect("a spec");
        let finish = Finish::take(&mut spec, Path::new("/")).expect("nothing to open");
        assert!(finish.is_empty() && spec.linux().as_ref().is_some_and(|linux| linux.masked_paths().is_some()));
    }
}
