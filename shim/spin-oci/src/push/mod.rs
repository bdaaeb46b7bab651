//! Registries: what goes there, and what comes from there to be looked at.

mod credentials;
mod identity;
mod registry;

pub use registry::{PlainHttp, Registry, full_name};

use crate::Digest;

/// Told what a push does, from several threads.
pub trait Progress: Sync {
    /// The whole: so many blobs and bytes.
    fn start(&self, blobs: usize, bytes: u64);
    /// One blob is there: pushed now, or found.
    fn blob(&self, digest: &Digest, media_type: &str, size: u64, found: bool);
    /// All blobs are.
    fn finish(&self);
}
