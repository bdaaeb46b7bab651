//! The wasm of a component: its digest, and its bytes when they are wanted.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::blobs::{Descriptor, SharedBlobs};
use crate::{Digest, KnownDigests, OciError};

/// The largest wasm file that is read; a Python component with its libraries has some 40 MB.
pub const MAX_WASM_BYTES: u64 = 512 << 20;

/// The wasm of one component, by its digest; the bytes are read only where nothing precompiled is found.
#[derive(Clone)]
pub struct Wasm {
    /// Of the bytes as stored.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    component: String,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Blob(Descriptor, SharedBlobs),
    File(Arc<File>, String),
    Bytes(Arc<[u8]>),
}

impl Wasm {
    pub(crate) fn of_blob(component: &str, descriptor: Descriptor, blobs: SharedBlobs) -> Self {
        let content = Content::Blob(descriptor.clone(), blobs);
        Self { digest: descriptor.digest, size: descriptor.size, component: component.to_owned(), content }
    }

    pub(crate) fn of_bytes(component: &str, bytes: Vec<u8>) -> Self {
        let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
        Self { digest, size, component: component.to_owned(), content: Content::Bytes(bytes.into()) }
    }

    /// Hashes a file unless its digest is known; it stays open, and what `read` returns is then compared with the digest.
    pub(crate) fn of_file(component: &str, path: &str, file: File, known: &dyn KnownDigests) -> Result<Self, OciError> {
        let failed = |error| OciError::Wasm { component: component.to_owned(), path: path.to_owned(), error };
        let size = file.metadata().map_err(failed)?.len();
        let digest = known.digest(&file, &mut || Ok(Digest::of_reader(&file, MAX_WASM_BYTES)?.0)).map_err(failed)?;
        let content = Content::File(Arc::new(file), path.to_owned());
        Ok(Self { digest, size, component: component.to_owned(), content })
    }

    /// The bytes, verified. That they begin as wasm does is all that is known of them.
    pub fn read(&self) -> Result<Vec<u8>, OciError> {
        let (bytes, name) = match &self.content {
            Content::Blob(descriptor, blobs) => (descriptor.read(blobs.as_ref(), MAX_WASM_BYTES)?, descriptor.digest.to_string()),
            Content::File(file, path) => (self.read_file(file, path)?, path.clone()),
            Content::Bytes(bytes) => (bytes.to_vec(), self.digest.to_string()),
        };
        if !bytes.starts_with(b"\0asm") {
            return Err(OciError::NotWasm { component: self.component.clone(), path: name });
        }
        Ok(bytes)
    }

    fn read_file(&self, file: &File, path: &str) -> Result<Vec<u8>, OciError> {
        // The file's own size, not declared by anybody.
        let mut bytes = vec![0; self.size as usize];
        file.read_exact_at(&mut bytes, 0).map_err(|error| OciError::Wasm {
            component: self.component.clone(),
            path: path.to_owned(),
            error,
        })?;
        let found = Digest::of(&bytes);
        if found != self.digest {
            return Err(OciError::Corrupt { what: path.to_owned(), expected: self.digest.to_string(), found: found.to_string() });
        }
        Ok(bytes)
    }
}
