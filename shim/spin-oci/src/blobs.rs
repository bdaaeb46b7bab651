//! Blobs by digest, wherever they are kept, and reading them verified.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::digest::Hashing;
use crate::{Digest, OciError};

/// Where blobs are: containerd's content store in the shim, a layout directory elsewhere.
pub trait Blobs {
    /// Opens a blob; what comes out is not trusted, but checked by who reads it.
    fn open(&self, digest: &str) -> io::Result<Box<dyn Read + Send>>;
}

/// Blobs that more than one component of an app reads.
pub type SharedBlobs = Arc<dyn Blobs + Send + Sync>;

/// The blobs of an OCI image layout: files `blobs/sha256/<hex>` in a directory.
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Of the layout in this directory.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl Blobs for Layout {
    fn open(&self, digest: &str) -> io::Result<Box<dyn Read + Send>> {
        let digest = Digest::parse(digest).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
        Ok(Box::new(File::open(self.root.join("blobs/sha256").join(digest.hex()))?))
    }
}

/// What a manifest says of a blob.
#[derive(Clone, Debug)]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

impl Descriptor {
    /// Reads the blob whole; it has the size and the digest the manifest says, and is not above `limit`.
    pub(crate) fn read(&self, blobs: &dyn Blobs, limit: u64) -> Result<Vec<u8>, OciError> {
        if self.size > limit {
            return Err(OciError::TooLarge { what: self.digest.to_string(), limit });
        }
        let mut reader = self.open(blobs)?;
        // Grown as the bytes come: a size that lies must not make us allocate.
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(|error| self.unreadable(error))?;
        reader.verify(self)?;
        Ok(bytes)
    }

    /// Opens the blob for reading in a stream, never beyond its size.
    pub(crate) fn open(&self, blobs: &dyn Blobs) -> Result<Verified, OciError> {
        let blob = blobs.open(self.digest.as_str()).map_err(|error| self.unreadable(error))?;
        // One byte more, so that a blob that is too long shows.
        Ok(Verified { reader: Hashing::new(blob.take(self.size.saturating_add(1))) })
    }

    pub(crate) fn unreadable(&self, error: io::Error) -> OciError {
        OciError::Blob { digest: self.digest.to_string(), error }
    }
}

/// A blob being read: not to be believed before `verify`.
pub(crate) struct Verified {
    reader: Hashing<io::Take<Box<dyn Read + Send>>>,
}

impl Verified {
    /// Reads what is left and checks size and digest.
    pub(crate) fn verify(mut self, descriptor: &Descriptor) -> Result<(), OciError> {
        io::copy(&mut self.reader, &mut io::sink()).map_err(|error| descriptor.unreadable(error))?;
        let (digest, size) = self.reader.finish();
        let corrupt =
            |expected: String, found: String| OciError::Corrupt { what: descriptor.digest.to_string(), expected, found };
        if size > descriptor.size {
            return Err(corrupt(format!("{} bytes", descriptor.size), "more".to_owned()));
        }
        if size < descriptor.size {
            return Err(corrupt(format!("{} bytes", descriptor.size), format!("{size} bytes")));
        }
        if digest != descriptor.digest {
            return Err(corrupt(descriptor.digest.to_string(), digest.to_string()));
        }
        Ok(())
    }
}

impl Read for Verified {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}
