//! Digests, and reading so that what comes out is what the digest says.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use crate::OciError;

/// `sha256:` and 64 lower-case hexadecimal digits: safe as a file name, too.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Digest(String);

impl Digest {
    /// Reads a digest; any other algorithm is refused, as containerd's store and Spin know this one only.
    pub fn parse(text: &str) -> Result<Self, OciError> {
        let hex = text.strip_prefix("sha256:").filter(|hex| hex.len() == 64);
        match hex.filter(|hex| hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))) {
            Some(_) => Ok(Self(text.to_owned())),
            None => Err(OciError::Digest(text.chars().take(100).collect())),
        }
    }

    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::finish(Sha256::new_with_prefix(bytes))
    }

    /// The digest of all that a reader still has, and how many bytes that was; fails past `limit`.
    pub(crate) fn of_reader(reader: impl Read, limit: u64) -> io::Result<(Self, u64)> {
        let mut reader = Hashing::new(reader.take(limit.saturating_add(1)));
        let size = io::copy(&mut reader, &mut io::sink())?;
        if size > limit {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {limit} bytes")));
        }
        Ok((reader.finish().0, size))
    }

    /// The whole text, `sha256:` included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hexadecimal digits alone.
    pub fn hex(&self) -> &str {
        self.0.trim_start_matches("sha256:")
    }

    fn finish(hasher: Sha256) -> Self {
        let hex = hasher.finalize().iter().fold(String::from("sha256:"), |mut text, byte| {
            use fmt::Write;
            let _ = write!(text, "{byte:02x}");
            text
        });
        Self(hex)
    }
}

/// What may know the digest of a file without reading it.
pub trait KnownDigests {
    /// The digest of all that the file holds: where that is not certain, what `compute` says.
    fn digest(&self, file: &File, compute: &mut dyn FnMut() -> io::Result<Digest>) -> io::Result<Digest>;
}

/// Knows none.
impl KnownDigests for () {
    fn digest(&self, _: &File, compute: &mut dyn FnMut() -> io::Result<Digest>) -> io::Result<Digest> {
        compute()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Hashes and counts what passes through.
pub(crate) struct Hashing<R> {
    inner: R,
    hasher: Sha256,
    size: u64,
}

impl<R> Hashing<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, hasher: Sha256::new(), size: 0 }
    }

    /// How many bytes have passed.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The digest and the number of the bytes that passed.
    pub(crate) fn finish(self) -> (Digest, u64) {
        (Digest::finish(self.hasher), self.size)
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.size += read as u64;
        Ok(read)
    }
}

impl<W: io::Write> io::Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
