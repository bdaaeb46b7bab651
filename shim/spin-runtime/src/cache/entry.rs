//! One component's place in the cache: its file, its lock, the file it is written to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use super::seal::Key;
use super::{CODE, CacheError, LOCK, TEMPORARY, ours, room_in};

/// Not `sha256:` and 64 hexadecimal digits in lower case.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is not a sha256 digest")]
pub struct DigestError(String);

pub(super) struct Entry<'a> {
    dir: &'a Path,
    name: String,
}

impl<'a> Entry<'a> {
    pub(super) fn new(dir: &'a Path, digest: &str, compatibility: &str) -> Result<Self, DigestError> {
        let valid = |hex: &&str| hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let hex = digest.strip_prefix("sha256:").filter(valid).ok_or_else(|| DigestError(digest.to_owned()))?;
        Ok(Self { dir, name: format!("{hex}-{compatibility}") })
    }

    pub(super) fn path(&self, end: &str) -> PathBuf {
        self.dir.join(format!("{}{end}", self.name))
    }

    /// The finished file, if it is there and sealed with this key. A damaged one is reported, and as good as missing.
    pub(super) fn open(&self, key: &Key) -> Result<Option<File>, CacheError> {
        let path = self.path(CODE);
        match self.verified(&path, key) {
            Ok(found) => Ok(Some(found)),
            Err(Rejected::Missing) => Ok(None),
            Err(Rejected::Damaged(reason)) => {
                log::warn!("precompiled code at {} is not used but made again: {reason}", path.display());
                Ok(None)
            }
            Err(Rejected::Io(source)) => Err(CacheError::Io { path, source }),
        }
    }

    fn verified(&self, path: &Path, key: &Key) -> Result<File, Rejected> {
        let flags = (OFlags::NOFOLLOW | OFlags::CLOEXEC).bits().cast_signed();
        let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() || !ours(&metadata) || metadata.nlink() > 1 {
            return Err(Rejected::Damaged("another user or name can change it"));
        }
        match key.is_sealed(&self.name, &mut file)? {
            true => Ok(file),
            false => Err(Rejected::Damaged("its content is not what was sealed")),
        }
    }

    /// Waits until nobody else makes this entry. The lock ends with the file, whatever becomes of the process.
    pub(super) fn lock(&self) -> Result<File, CacheError> {
        let path = self.path(LOCK);
        let io = |source: io::Error| CacheError::Io { path: path.clone(), source };
        loop {
            let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(io)?;
            retry(|| flock(&file, FlockOperation::LockExclusive)).map_err(io)?;
            // Pruned while it was waited for: then others lock another file of that name.
            let same = match fs::metadata(&path) {
                Ok(now) => now.ino() == file.metadata().map_err(io)?.ino(),
                Err(_) => false,
            };
            if same {
                return Ok(file);
            }
        }
    }

    /// A file to write to.
    pub(super) fn temporary(&self) -> io::Result<NamedTempFile> {
        temporary(self.dir, &self.name)
    }

    /// Seals the code, and keeps a copy as the finished file. Any process that is handed it may read it, whatever its user: no other can enter
    /// the directory.
    pub(super) fn keep(&self, code: &mut File, key: &Key) -> Result<(), CacheError> {
        self.copy(code, key).map_err(|source| CacheError::Io { path: self.path(CODE), source })
    }

    fn copy(&self, code: &mut File, key: &Key) -> io::Result<()> {
        key.seal(&self.name, code)?;
        if code.metadata()?.len() > room_in(self.dir)? {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut temporary = self.temporary()?;
        code.rewind()?;
        io::copy(code, temporary.as_file_mut())?;
        temporary.as_file().set_permissions(fs::Permissions::from_mode(0o444))?;
        temporary.as_file().sync_all()?;
        temporary.persist(self.path(CODE)).map_err(|error| error.error)?;
        File::open(self.dir)?.sync_all()
    }
}

/// A file to write to, locked as long as it is open: an unlocked one was left by a process that was killed.
pub(super) fn temporary(dir: &Path, prefix: &str) -> io::Result<NamedTempFile> {
    let file = tempfile::Builder::new().prefix(prefix).suffix(TEMPORARY).tempfile_in(dir)?;
    flock(file.as_file(), FlockOperation::LockShared)?;
    Ok(file)
}

/// Why a file is not used.
enum Rejected {
    Missing,
    Damaged(&'static str),
    Io(io::Error),
}

impl From<io::Error> for Rejected {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT) => Self::Missing,
            Some(Errno::LOOP) => Self::Damaged("it is a link"),
            // What a failing disk answers: the file may be read again once it was written again.
            Some(Errno::IO) => Self::Damaged("it can't be read"),
            _ => Self::Io(error),
        }
    }
}

fn retry(mut call: impl FnMut() -> rustix::io::Result<()>) -> io::Result<()> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}
