//! The container's root file system, mounted where only the container sees it.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, ensure};
use oci_spec::runtime::Spec;
use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, open, openat2};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::idmap;
use super::users::{IdMap, Namespaces, has_user_namespace};
use crate::bundle::Mount;

/// Mounts the root file system on the bundle's `rootfs`, makes the spec name it by its full path, and gives that path.
///
/// It happens in a mount namespace of this process's own, which the container's is copied from: the mount is nowhere else, and gone
/// when the container's last process is, however that ends. Only a container that wants its mounts to appear on the node (propagation
/// `shared`) is made in the node's own namespace. The kernel does not pass on mounts of a container with users of its own.
pub fn mount(bundle: &Path, mounts: &[Mount], spec: &mut Spec) -> Result<PathBuf> {
    let is_private = has_user_namespace(spec) || !shares_mounts(spec);
    if is_private {
        leave_the_nodes_mounts()?;
    }
    let mut root = spec.root().clone().context("the spec names no root file system")?;
    let path = bundle.join(root.path());
    let mut namespaces = Namespaces::default();
    for mount in mounts {
        let made = mount_one(bundle, mount, &path, is_private, &mut namespaces);
        made.with_context(|| format!("mounting the root file system ({})", mount.kind))?;
    }
    // A long overlay is mounted from the directory of its layers.
    std::env::set_current_dir(bundle).context("returning to the bundle")?;
    idmap::mount_volumes(bundle, spec, is_private, &mut namespaces)?;
    root.set_path(path.clone());
    spec.set_root(Some(root));
    Ok(path)
}

/// Mounts a part of the root file system, with the owners that containerd asks for. An overlay can't be idmapped itself; its layers
/// can.
fn mount_one(bundle: &Path, mount: &Mount, path: &Path, is_private: bool, namespaces: &mut Namespaces) -> Result<()> {
    let mut options = mount.options.clone();
    let map = IdMap::take_from(&mut options)?;
    ensure!(map.is_none() || is_private, "it can't be idmapped in a container that shares its mounts with the node");
    let is_overlay = mount.kind == "overlay";
    if let Some(map) = map.as_ref().filter(|_| is_overlay) {
        idmap::map_layers(bundle, map, &mut options, namespaces)?;
    }
    containerd_shim::mount::mount_rootfs(Some(&mount.kind), Some(&mount.source), &options, path)?;
    map.as_ref().filter(|_| !is_overlay).map_or(Ok(()), |map| idmap::map_root(map, path, namespaces))
}

/// Whether what this container mounts appears on the node.
fn shares_mounts(spec: &Spec) -> bool {
    let propagation = spec.linux().as_ref().and_then(|linux| linux.rootfs_propagation().as_deref());
    propagation.is_some_and(|propagation| propagation.contains("shared"))
}

fn leave_the_nodes_mounts() -> Result<()> {
    // SAFETY: unsharing mounts (and with them root and working directory) is unsafe only for its effect on other threads: there are none.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.context("leaving the node's mount namespace")?;
    // What the node mounts later still arrives; what we mount never leaves.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC).context("making the mounts our own")
}

/// Makes the working directory that an image names and does not hold, as runc does. No link in the image leads out of its root.
pub fn make_working_directory(root: &Path, directory: &Path) -> Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let failed = || format!("making the working directory {}", directory.display());
    let root = open(root, flags, Mode::empty()).with_context(failed)?;
    let mut reached = PathBuf::from(".");
    for part in directory.components() {
        let Component::Normal(name) = part else { continue };
        let parent = openat2(&root, &reached, flags, Mode::empty(), resolve).with_context(failed)?;
        match mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => reached.push(name),
            Err(error) => return Err(error).with_context(failed),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_working_directory_is_made_below_the_root() {
        let root = tempfile::tempdir().expect("a temporary directory");
        make_working_directory(root.path(), Path::new("/data/deep")).expect("made");
        make_working_directory(root.path(), Path::new("/data/deep")).expect("already there");
        assert!(root.path().join("data/deep").is_dir());
    }

    #[test]
    fn a_link_does_not_lead_out_of_the_root() {
        let (root, outside) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        std::os::unix::fs::symlink(outside.path(), root.path().join("data")).expect("linked");
        let made = make_working_directory(root.path(), Path::new("/data/deep"));
        assert!(made.is_err() && !outside.path().join("deep").exists());
    }
}
