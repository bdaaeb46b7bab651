//! The seal of a finished file: a keyed MAC (BLAKE3) over its name and content, at its end.
//!
//! The key lies beside the files, readable by root alone. A process that can change a file of the
//! cache, through a descriptor for example, can't make the seal for what it wrote; and a disk that
//! lost or changed some bytes didn't either.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::rand::{GetRandomFlags, getrandom};
use tempfile::NamedTempFile;

use super::entry::temporary;
use super::ours;

/// How many bytes at the end of a finished file are its seal.
pub(crate) const SEAL_BYTES: usize = blake3::OUT_LEN;

/// The name of the key's file.
const KEY: &str = "key";

/// What seals are made with; one for the whole directory.
#[cfg_attr(test, derive(Clone))]
pub(super) struct Key([u8; blake3::KEY_LEN]);

/// Its bytes are no matter for a log.
impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key")
    }
}

impl Key {
    /// The directory's key, made if there is none. A file that others could have written, or of
    /// another length, is replaced: all files that it sealed are made again then.
    pub(super) fn of_directory(dir: &Path) -> io::Result<Self> {
        let path = dir.join(KEY);
        if let Some(key) = Self::read(&path)? {
            return Ok(key);
        }
        let mut bytes = [0; blake3::KEY_LEN];
        getrandom(&mut bytes, GetRandomFlags::empty())?;
        let mut file = temporary(dir, KEY)?;
        file.as_file().set_permissions(PermissionsExt::from_mode(0o400))?;
        file.write_all(&bytes)?;
        file.as_file().sync_all()?;
        Self::publish(file, &path)
    }

    /// Gives the file its name, unless another process was faster and its key is good.
    fn publish(file: NamedTempFile, path: &Path) -> io::Result<Self> {
        let refused = match file.persist_noclobber(path) {
            Ok(_) => None,
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Some(error.file),
            Err(error) => return Err(error.error),
        };
        if let Some(file) = refused
            && Self::read(path)?.is_none()
        {
            file.persist(path)?;
        }
        // Two processes may have replaced a bad key at once: the last one's counts for both.
        Self::read(path)?.ok_or_else(|| io::Error::other("the key of the cache can't be read back"))
    }

    /// `None` where there is no file, or none to be trusted.
    fn read(path: &Path) -> io::Result<Option<Self>> {
        let flags = (OFlags::NOFOLLOW | OFlags::CLOEXEC).bits().cast_signed();
        let mut file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        let mut key = Self([0; blake3::KEY_LEN]);
        if !metadata.is_file() || !ours(&metadata) || metadata.len() != key.0.len() as u64 {
            return Ok(None);
        }
        file.read_exact(&mut key.0)?;
        Ok(Some(key))
    }

    /// Replaces the last [`SEAL_BYTES`] of a file, which is open for reading and writing.
    pub(super) fn seal(&self, name: &str, file: &mut File) -> io::Result<()> {
        let length = content_length(file)?.ok_or(io::ErrorKind::InvalidData)?;
        let seal = self.mac(name, file, length)?;
        file.seek(SeekFrom::Start(length))?;
        file.write_all(seal.as_bytes())
    }

    /// Whether a file ends with the seal of its name and of everything before it.
    pub(super) fn is_sealed(&self, name: &str, file: &mut File) -> io::Result<bool> {
        let Some(length) = content_length(file)? else { return Ok(false) };
        let expected = self.mac(name, file, length)?;
        let mut seal = [0; SEAL_BYTES];
        file.seek(SeekFrom::Start(length))?;
        file.read_exact(&mut seal)?;
        // Compared in constant time.
        Ok(expected == seal)
    }

    /// Of the name and the file's first `length` bytes.
    fn mac(&self, name: &str, file: &mut File, length: u64) -> io::Result<blake3::Hash> {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
        file.rewind()?;
        hasher.update_reader(file.take(length))?;
        Ok(hasher.finalize())
    }
}

/// How many bytes stand before the seal; `None` for a file that is too short to have one.
fn content_length(file: &File) -> io::Result<Option<u64>> {
    Ok(file.metadata()?.len().checked_sub(SEAL_BYTES as u64))
}
