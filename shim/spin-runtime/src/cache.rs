//! The node's cache of precompiled code.
//!
//! One file for each component, named by the digest of its WebAssembly and by [`crate::precompile::compatibility`]. A file appears whole (written
//! aside, synchronised, renamed) and is never changed after. The code in it will run as it is, so the directory belongs to root alone, and each file
//! ends with a seal ([`seal`]) that is verified each time the file is opened. A file that fails is made again, never executed.

mod entry;
mod seal;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};

pub use entry::DigestError;
use entry::Entry;
use seal::Key;
pub(crate) use seal::SEAL_BYTES;

use crate::precompile::compatibility;

/// The end of the names of finished files, of locks, and of files being written.
const CODE: &str = ".code";
const LOCK: &str = ".lock";
const TEMPORARY: &str = ".new";
/// Older files being written are what a killed process left behind: nothing compiles for as long.
const STALE: Duration = Duration::from_secs(3600);

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
    /// Opens the cache, and makes its directory (0700) if it is missing.
    pub fn open(dir: &Path) -> Result<Self, CacheError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|source| CacheError::Io { path: dir.to_owned(), source })?;
        let metadata = fs::symlink_metadata(dir).map_err(|source| CacheError::Io { path: dir.to_owned(), source })?;
        if !metadata.is_dir() || !ours(&metadata) {
            return Err(CacheError::Untrusted(dir.to_owned()));
        }
        let key = Key::of_directory(dir).map_err(|source| CacheError::Io { path: dir.to_owned(), source })?;
        Ok(Self { dir: dir.to_owned(), key, compatibility: compatibility() })
    }

    /// The code of the component with that digest (`sha256:…` of its WebAssembly), if it is there and undamaged.
    pub fn find(&self, digest: &str) -> Result<Option<File>, CacheError> {
        self.entry(digest)?.open(&self.key)
    }

    /// The code of the component with that digest; made if it is missing or damaged: `compile` writes it, as
    /// [`crate::precompile::precompile`] returns it, to the file it is given; the last [`SEAL_BYTES`] bytes become the seal.
    ///
    /// Of all processes of the node one compiles at a time for a component, the others wait and find what it made.
    pub fn find_or<E>(&self, digest: &str, compile: impl FnOnce(&mut File) -> Result<(), E>) -> Result<File, FindError<E>> {
        let entry = self.entry(digest)?;
        if let Some(file) = entry.open(&self.key)? {
            return Ok(file);
        }
        let _lock = entry.lock()?;
        if let Some(file) = entry.open(&self.key)? {
            return Ok(file);
        }
        let mut temporary = entry.temporary()?;
        compile(temporary.as_file_mut()).map_err(FindError::Compile)?;
        entry.keep(temporary, &self.key)?;
        let gone = || CacheError::Io { path: entry.path(CODE), source: io::ErrorKind::NotFound.into() };
        Ok(entry.open(&self.key)?.ok_or_else(gone)?)
    }

    /// Removes what is not of this version, what was not used for `max_age`, and the longest unused until at most `max_bytes` remain. Returns the
    /// bytes that became free. Code in use stays usable: whoever has it open keeps it.
    pub fn prune(&self, max_bytes: u64, max_age: Duration) -> Result<u64, CacheError> {
        let io = |source| CacheError::Io { path: self.dir.clone(), source };
        let now = SystemTime::now();
        let mut kept = Vec::new();
        let mut freed = 0;
        for file in fs::read_dir(&self.dir).map_err(io)? {
            let file = file.map_err(io)?;
            // Gone in the meantime: somebody else prunes.
            let Ok(metadata) = file.metadata() else { continue };
            let name = file.file_name().to_string_lossy().into_owned();
            let age = |time: io::Result<SystemTime>| time.ok().and_then(|time| now.duration_since(time).ok()).unwrap_or_default();
            let unused = age(last_used(&metadata));
            if name.ends_with(TEMPORARY) {
                freed += remove_if(age(metadata.modified()) > STALE, &file.path(), metadata.len());
            } else if name.ends_with(CODE) {
                let outdated = !name.contains(self.compatibility) || unused > max_age;
                match outdated {
                    true => freed += remove_if(true, &file.path(), metadata.len()),
                    false => kept.push((unused, metadata.len(), file.path())),
                }
            } else if name.ends_with(LOCK) {
                remove_lock(&file.path());
            }
        }
        kept.sort();
        let mut bytes = 0;
        for (_, length, path) in kept {
            bytes += length;
            freed += remove_if(bytes > max_bytes, &path, length);
        }
        Ok(freed)
    }

    fn entry(&self, digest: &str) -> Result<Entry<'_>, CacheError> {
        Ok(Entry::new(&self.dir, digest, self.compatibility)?)
    }
}

/// When a file was last written or read. Of readings most file systems note one a day, some none.
pub fn last_used(metadata: &fs::Metadata) -> io::Result<SystemTime> {
    Ok(metadata.modified()?.max(metadata.accessed()?))
}

/// Whether it belongs to this process's user and nobody else can write it.
fn ours(metadata: &fs::Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0
}

fn remove_if(condition: bool, path: &Path, length: u64) -> u64 {
    if condition && fs::remove_file(path).is_ok() { length } else { 0 }
}

/// A lock that nobody holds. Who waits for it right now looks, once it has it, whether it is still the one of that name.
fn remove_lock(path: &Path) {
    if let Ok(file) = File::open(path)
        && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
    {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests;
