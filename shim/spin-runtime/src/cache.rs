//! The node's cache of precompiled code.
//!
//! One file for each component, named by the digest of its WebAssembly and by [`crate::precompile::compatibility`]. A file appears whole (written
//! aside, synchronised, renamed) and is never changed after. The code in it will run as it is, so the directory belongs to root alone, and each file
//! ends with a seal ([`seal`]) that is verified each time the file is opened. A file that fails is made again, never executed.

mod entry;
mod seal;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock, statvfs};

pub use entry::DigestError;
use entry::Entry;
use seal::Key;
pub(crate) use seal::SEAL_BYTES;

use crate::precompile::compatibility;

/// The end of the names of finished files, of locks, and of files being written.
const CODE: &str = ".code";
const LOCK: &str = ".lock";
const TEMPORARY: &str = ".new";

/// What a cache keeps at most.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of all files.
    pub bytes: u64,
    /// Files and directories.
    pub files: u64,
    /// How long nobody has used what is kept.
    pub age: Duration,
}

impl Bounds {
    /// Chooses from entries with their time without use, their bytes and their files those that must go: what is too old, then the
    /// longest unused until the rest is within the bounds.
    pub fn exceeded_by<T>(&self, mut entries: Vec<(Duration, u64, u64, T)>) -> Vec<T> {
        entries.sort_by_key(|(unused, ..)| *unused);
        let (mut bytes, mut files, mut must_go) = (0_u64, 0_u64, Vec::new());
        for (unused, its_bytes, its_files, entry) in entries {
            let within = (bytes.saturating_add(its_bytes), files.saturating_add(its_files));
            if unused > self.age || within.0 > self.bytes || within.1 > self.files {
                must_go.push(entry);
            } else {
                (bytes, files) = within;
            }
        }
        must_go
    }
}

/// The cache in one directory.
#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
    key: Key,
    compatibility: &'static str,
}

/// Why the cache can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The directory, or a file in it, can't be read or written.
    #[error("the cache of precompiled code at {path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Others could have put something into it.
    #[error(
        "the cache of precompiled code at {0} is not trusted: it must be a directory of this user that nobody else can write"
    )]
    Untrusted(PathBuf),
    /// Not a digest, so it can't name a file.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

/// Why there is no code even though it was to be made.
#[derive(Debug, thiserror::Error)]
pub enum FindError<E> {
    /// The cache itself.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Compiling failed.
    #[error("{0}")]
    Compile(E),
}

impl Cache {
    /// Opens the cache, and makes its directory if it is missing. Its mode becomes 0700: locked apps of artifacts are in it too.
    pub fn open(dir: &Path) -> Result<Self, CacheError> {
        let io = |source| CacheError::Io { path: dir.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
        let metadata = fs::symlink_metadata(dir).map_err(io)?;
        if !metadata.is_dir() || !ours(&metadata) {
            return Err(CacheError::Untrusted(dir.to_owned()));
        }
        if metadata.mode() & 0o777 != 0o700 {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(io)?;
        }
        let key = Key::of_directory(dir).map_err(io)?;
        Ok(Self { dir: dir.to_owned(), key, compatibility: compatibility() })
    }

    /// The code of the component with that digest (`sha256:…` of its WebAssembly), if it is there and undamaged.
    pub fn find(&self, digest: &str) -> Result<Option<File>, CacheError> {
        self.entry(digest)?.open(&self.key)
    }

    /// The code of the component with that digest; made if it is missing or damaged: `compile` returns a file of what
    /// [`crate::precompile::precompile`] returns, whose last [`SEAL_BYTES`] bytes become the seal. Where it can't be kept, because the disk
    /// is full or read-only, that file itself is returned, and the reason logged.
    ///
    /// Of all processes of the node one compiles at a time for a component, the others wait and find what it made.
    pub fn find_or<E>(&self, digest: &str, compile: impl FnOnce() -> Result<File, E>) -> Result<File, FindError<E>> {
        let entry = self.entry(digest)?;
        if let Some(file) = entry.open(&self.key)? {
            return Ok(file);
        }
        let lock = entry.lock();
        if lock.is_ok()
            && let Some(file) = entry.open(&self.key)?
        {
            return Ok(file);
        }
        let mut code = compile().map_err(FindError::Compile)?;
        match lock.and_then(|_held| entry.keep(&mut code, &self.key)) {
            // Unless it was pruned at once.
            Ok(()) => Ok(entry.open(&self.key)?.unwrap_or(code)),
            Err(error) => {
                log::warn!("precompiled code is not kept for the next start: {error}");
                Ok(code)
            }
        }
    }

    /// Removes what killed processes left behind, and code that exceeds the bounds; another version's alone by its age: its processes may still
    /// run. Returns the bytes that became free. Code in use stays usable: a process that has it open keeps it.
    pub fn prune(&self, bounds: &Bounds) -> Result<u64, CacheError> {
        let io = |source| CacheError::Io { path: self.dir.clone(), source };
        let mut kept = Vec::new();
        let mut freed = 0;
        for file in fs::read_dir(&self.dir).map_err(io)? {
            let file = file.map_err(io)?;
            // Gone in the meantime: another process prunes.
            let Ok(metadata) = file.metadata() else { continue };
            let name = file.file_name().to_string_lossy().into_owned();
            if name.ends_with(TEMPORARY) {
                freed += remove_abandoned(&file.path(), metadata.len());
            } else if name.ends_with(CODE) {
                kept.push((unused(&metadata), metadata.len(), 1, (file.path(), metadata.len())));
            } else if name.ends_with(LOCK) {
                remove_abandoned(&file.path(), 0);
            }
        }
        for (path, length) in bounds.exceeded_by(kept) {
            freed += if fs::remove_file(&path).is_ok() { length } else { 0 };
        }
        Ok(freed)
    }

    fn entry(&self, digest: &str) -> Result<Entry<'_>, CacheError> {
        Ok(Entry::new(&self.dir, digest, self.compatibility)?)
    }
}

/// How long a file was neither written nor read. Of readings most file systems note one a day, some none. Zero where the clock went back.
pub fn unused(metadata: &fs::Metadata) -> Duration {
    let used = metadata.modified().ok().max(metadata.accessed().ok());
    used.and_then(|used| SystemTime::now().duration_since(used).ok()).unwrap_or_default()
}

/// How many bytes may still be written to a directory, so that a tenth of its file system, or 10 GiB, stay free for the node; none where as good as
/// no more files can be made.
pub fn room_in(dir: &Path) -> io::Result<u64> {
    const MAX_RESERVE_BYTES: u64 = 10 << 30;
    const MIN_FREE_FILES: u64 = 10_000;
    let about = statvfs(dir)?;
    let reserve = (about.f_blocks.saturating_mul(about.f_frsize) / 10).min(MAX_RESERVE_BYTES);
    // Some file systems make inodes as they are needed, and count none.
    let has_files = about.f_files == 0 || about.f_favail > MIN_FREE_FILES.min(about.f_files / 10);
    let free = about.f_bavail.saturating_mul(about.f_frsize);
    Ok(if has_files { free.saturating_sub(reserve) } else { 0 })
}

/// Whether it belongs to this process's user and nobody else can write it.
fn ours(metadata: &fs::Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0
}

/// Removes a lock that no process holds, or a file that no process writes any more: writers hold a lock on theirs. A process that waits for a
/// lock right now checks, once it has it, whether it is still the one of that name. Returns the bytes that became free.
fn remove_abandoned(path: &Path, length: u64) -> u64 {
    let unlocked = |file: &File| flock(file, FlockOperation::NonBlockingLockExclusive).is_ok();
    match File::open(path) {
        Ok(file) if unlocked(&file) && fs::remove_file(path).is_ok() => length,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
