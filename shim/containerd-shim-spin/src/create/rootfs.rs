//! The container's root file system, mounted where only the container sees it.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use oci_spec::runtime::Spec;
use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, open, openat2};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::bundle::Mount;

/// Mounts the root file system on the bundle's `rootfs`, makes the spec name it by its full path, and gives that path.
///
/// It happens in a mount namespace of this process's own, which the container's is copied from: the mount is nowhere else, and gone
/// when the container's last process is, however that ends. Only a container that wants its mounts to appear on the node (propagation
/// `shared`) is made in the node's own namespace.
pub fn mount(bundle: &Path, mounts: &[Mount], spec: &mut Spec) -> Result<PathBuf> {
    if !shares_mounts(spec) {
        leave_the_nodes_mounts()?;
    }
    let mut root = spec.root().clone().context("the spec names no root file system")?;
    let path = bundle.join(root.path());
    for mount in mounts {
        let made = containerd_shim::mount::mount_rootfs(Some(&mount.kind), Some(&mount.source), &mount.options, &path);
        made.with_context(|| format!("mounting the root file system ({})", mount.kind))?;
    }
    // A long overlay is mounted from the directory of its layers.
    std::env::set_current_dir(bundle).context("returning to the bundle")?;
    root.set_path(path.clone());
    spec.set_root(Some(root));
    Ok(path)
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
