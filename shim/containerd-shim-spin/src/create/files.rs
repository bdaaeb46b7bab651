//! The trees of files that components see, kept on the node by their content and shared by its pods.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, Mode, OFlags, Timestamps, UTIME_NOW, flock, futimens, openat};
use spin_oci::{FileTree, OciError};
use spin_runtime::cache::last_used;

use crate::sys;

/// Trees by key, below one directory.
pub struct Trees(PathBuf);

/// A tree in use.
pub struct InUse {
    /// The directory as a guest gets it: a detached, read-only mount.
    pub closed_off: OwnedFd,
    /// A descriptor of the same mount. While any process has it open, the tree is not pruned.
    pub lock: OwnedFd,
}

/// Why a tree is not there.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// Its content.
    #[error(transparent)]
    Content(#[from] OciError),
    /// The node.
    #[error("{path}: {source}")]
    Node {
        /// The tree's directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Trees {
    /// The trees below this directory.
    pub fn at(dir: PathBuf) -> Self {
        Self(dir)
    }

    /// Makes the tree if it is not there, and keeps it from being pruned.
    pub fn take(&self, tree: &FileTree) -> Result<InUse, TreeError> {
        let path = self.0.join(tree.key());
        loop {
            tree.materialise(&path)?;
            if let Some(in_use) = hold(&path).map_err(|source| TreeError::Node { path: path.clone(), source })? {
                return Ok(in_use);
            }
        }
    }

    /// Removes the trees that nobody has used for so long, and nobody uses.
    pub fn prune(&self, max_age: Duration) {
        for path in unused(&self.0, max_age) {
            // Another pruner, or a pod that has just come: then it stays.
            let _still_there = remove(&path);
        }
    }
}

/// What in a directory was neither written nor read for longer.
pub fn unused(dir: &Path, max_age: Duration) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(move |path| {
        // What is gone already, or of a time to come, stays.
        let used = fs::metadata(path).and_then(|metadata| last_used(&metadata)).ok();
        used.and_then(|used| SystemTime::now().duration_since(used).ok()).is_some_and(|age| age > max_age)
    })
}

/// Opens the tree and locks it against pruning; `None` if it was pruned in between.
///
/// Both descriptors go to the app's process, so both are of the detached mount: `..` of a
/// descriptor of the node's own mount would lead from the container to the node's root directory.
fn hold(path: &Path) -> io::Result<Option<InUse>> {
    let tree = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let closed_off = sys::detached_read_only(tree.as_fd(), Path::new(""))?;
    // A lock belongs to the inode, so it excludes the pruner's, by whichever mount either came.
    let lock = openat(&closed_off, ".", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    flock(&lock, FlockOperation::LockShared)?;
    if !is_at(&tree, path)? {
        return Ok(None);
    }
    // By the node's mount: times can't be set through a read-only one.
    let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    futimens(&tree, &Timestamps { last_access: now, last_modification: now })?;
    Ok(Some(InUse { closed_off, lock }))
}

fn remove(path: &Path) -> io::Result<()> {
    let dir = File::open(path)?;
    flock(&dir, FlockOperation::NonBlockingLockExclusive)?;
    // A name that no key has: whoever looks for the tree from now on makes a new one.
    let gone = path.with_extension("gone");
    fs::rename(path, &gone)?;
    fs::remove_dir_all(&gone)
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let here = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((here.dev(), here.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(dir: &tempfile::TempDir, name: &str) -> PathBuf {
        let path = dir.path().join(name);
        fs::create_dir(&path).expect("made");
        fs::write(path.join("index.html"), "hello").expect("written");
        path
    }

    #[test]
    fn a_tree_in_use_stays_and_goes_when_its_last_user_has() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = tree(&dir, "key");
        let trees = Trees::at(dir.path().to_owned());
        let in_use = File::open(&path).expect("opened");
        flock(&in_use, FlockOperation::LockShared).expect("locked");
        trees.prune(Duration::ZERO);
        assert!(path.join("index.html").exists());
        drop(in_use);
        trees.prune(Duration::ZERO);
        assert_eq!(fs::read_dir(dir.path()).expect("read").count(), 0);
    }

    #[test]
    fn a_tree_used_lately_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = tree(&dir, "key");
        Trees::at(dir.path().to_owned()).prune(Duration::from_secs(3600));
        assert!(path.exists());
    }
}
