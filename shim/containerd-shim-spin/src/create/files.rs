//! The trees of files that components see, kept on the node by their content and shared by its pods.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, Timestamps, UTIME_NOW, flock, futimens, openat};
use spin_oci::{FileTree, OciError, STAGING_PREFIX};
use spin_runtime::cache::{Bounds, room_in, unused};

use crate::sys;
use crate::unpack::InAChild;

/// What all trees of the node may take.
const BOUNDS: Bounds = Bounds { bytes: 16 << 30, files: 2_000_000, age: super::prepare::MAX_AGE };
/// What an image may add to it.
const MAX_IMAGE_BYTES: u64 = 4 << 30;
const MAX_IMAGE_FILES: u64 = 200_000;
/// The end of the name of a tree that is being removed.
const GONE: &str = "gone";

/// Trees by key, below one directory.
pub struct Trees {
    dir: PathBuf,
    /// What the current image may still add.
    bytes_left: u64,
    files_left: u64,
}

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
    /// More than [`MAX_IMAGE_FILES`].
    #[error("the components of the image have more than {MAX_IMAGE_FILES} files together")]
    ManyFiles,
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
    /// The trees below this directory, for one image.
    pub fn at(dir: PathBuf) -> Self {
        Self { dir, bytes_left: MAX_IMAGE_BYTES, files_left: MAX_IMAGE_FILES }
    }

    /// Makes the tree if it is not there, and keeps it from being pruned.
    pub fn take(&mut self, tree: &FileTree) -> Result<InUse, TreeError> {
        let path = self.dir.join(tree.key());
        loop {
            if !path.exists() {
                self.make(tree, &path)?;
            }
            if let Some(in_use) = hold(&path).map_err(|source| TreeError::Node { path: path.clone(), source })? {
                return Ok(in_use);
            }
        }
    }

    fn make(&mut self, tree: &FileTree, path: &Path) -> Result<(), TreeError> {
        let node = |source| TreeError::Node { path: self.dir.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).map_err(node)?;
        let files = tree.files().count() as u64;
        self.files_left = self.files_left.checked_sub(files).ok_or(TreeError::ManyFiles)?;
        let missing = MAX_IMAGE_BYTES.saturating_sub(room_in(&self.dir).map_err(node)?);
        prune(&self.dir, &BOUNDS, missing);
        let room = self.bytes_left.min(room_in(&self.dir).map_err(node)?);
        self.bytes_left -= tree.materialise(path, &InAChild, room)?;
        Ok(())
    }

    /// Removes what exceeds the bounds of the node's cache, and what killed processes left.
    pub fn prune(&self) {
        prune(&self.dir, &BOUNDS, 0);
    }
}

/// Removes what killed processes left, and the longest unused trees until the rest is within the bounds, with place for what an image may add, and
/// so many bytes are free that were `missing` on the disk.
fn prune(dir: &Path, bounds: &Bounds, missing: u64) {
    let mut trees = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let Ok(metadata) = entry.metadata() else { continue };
        if name.starts_with(STAGING_PREFIX) || path.extension().is_some_and(|end| end == GONE) {
            let _in_use = lock_exclusively(&path).and_then(|_lock| fs::remove_dir_all(&path));
        } else {
            let (bytes, files) = size(&path);
            trees.push((unused(&metadata), bytes, files, path));
        }
    }
    let used = trees.iter().map(|(_, bytes, ..)| *bytes).sum::<u64>();
    let bytes = bounds.bytes.saturating_sub(MAX_IMAGE_BYTES).min(used.saturating_sub(missing));
    let bounds = Bounds { bytes, files: bounds.files.saturating_sub(MAX_IMAGE_FILES), age: bounds.age };
    for path in bounds.exceeded_by(trees) {
        // Another process prunes it, or a pod that has just come uses it: then it stays.
        let _stays = remove(&path);
    }
}

/// Bytes and files of a tree.
fn size(path: &Path) -> (u64, u64) {
    let (mut bytes, mut files) = (0, 0);
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        let below = if metadata.is_dir() { size(&entry.path()) } else { (metadata.len(), 0) };
        (bytes, files) = (bytes + below.0, files + below.1 + 1);
    }
    (bytes, files)
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
    let _lock = lock_exclusively(path)?;
    // A name that no key has: a process that looks for the tree from now on makes a new one.
    let gone = path.with_extension(GONE);
    fs::rename(path, &gone)?;
    fs::remove_dir_all(&gone)
}

/// Fails where a process uses the directory.
fn lock_exclusively(path: &Path) -> io::Result<File> {
    let dir = File::open(path)?;
    flock(&dir, FlockOperation::NonBlockingLockExclusive)?;
    Ok(dir)
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
    use std::time::Duration;

    use super::*;

    fn tree(dir: &tempfile::TempDir, name: &str) -> PathBuf {
        let path = dir.path().join(name);
        fs::create_dir(&path).expect("made");
        fs::write(path.join("index.html"), "hello").expect("written");
        path
    }

    const EVERYTHING: Bounds = Bounds { bytes: u64::MAX, files: u64::MAX, age: Duration::MAX };

    #[test]
    fn a_tree_in_use_stays_and_goes_when_its_last_user_has() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = tree(&dir, "key");
        let in_use = File::open(&path).expect("opened");
        flock(&in_use, FlockOperation::LockShared).expect("locked");
        let nothing = Bounds { bytes: 0, files: 0, age: Duration::ZERO };
        prune(dir.path(), &nothing, 0);
        assert!(path.join("index.html").exists());
        drop(in_use);
        prune(dir.path(), &nothing, 0);
        assert_eq!(fs::read_dir(dir.path()).expect("read").count(), 0);
    }

    #[test]
    fn trees_are_removed_until_the_rest_is_within_the_bounds() {
        let left = |bounds: &Bounds, missing| {
            let dir = tempfile::tempdir().expect("a directory");
            for name in ["one", "two", "three"] {
                tree(&dir, name);
            }
            prune(dir.path(), bounds, missing);
            fs::read_dir(dir.path()).expect("read").count()
        };
        assert_eq!(left(&EVERYTHING, 0), 3);
        assert_eq!(left(&Bounds { bytes: MAX_IMAGE_BYTES + 10, ..EVERYTHING }, 0), 2);
        assert_eq!(left(&Bounds { files: MAX_IMAGE_FILES + 1, ..EVERYTHING }, 0), 1);
        assert_eq!(left(&EVERYTHING, 1), 2);
        assert_eq!(left(&EVERYTHING, 1 << 40), 0);
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_a_tree_being_made_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let (left, gone, making) = (tree(&dir, ".tree-left"), tree(&dir, "key.gone"), tree(&dir, ".tree-making"));
        let lock = File::open(&making).expect("opened");
        flock(&lock, FlockOperation::LockShared).expect("locked");
        prune(dir.path(), &EVERYTHING, 0);
        assert_eq!([left.exists(), gone.exists(), making.exists()], [false, false, true]);
    }
}
