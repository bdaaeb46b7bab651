//! OCI images of Spin apps: read, verify, unpack, pack, push.
//!
//! Everything that is read here was made by somebody else: every blob is compared with its digest, every size has a limit, no path leads out.

mod archive;
mod artifact;
mod blobs;
mod digest;
mod error;
pub mod media;
#[cfg(feature = "push")]
mod open;
#[cfg(feature = "push")]
pub mod pack;
mod pattern;
#[cfg(feature = "push")]
pub mod push;
mod root;
mod rootfs;
mod tree;
mod volumes;
mod wasm;

use std::collections::BTreeMap;

use spin_app::{LockedApp, VolumeDirectory};

pub use archive::{InThisProcess, Unpacker, unpack};
pub use artifact::{index_manifests, is_artifact, load_artifact};
pub use blobs::{Blobs, Layout, SharedBlobs};
pub use digest::{Digest, KnownDigests};
pub use error::OciError;
#[cfg(feature = "push")]
pub use open::{Kind, Opened, open};
pub use rootfs::load_rootfs;
pub use tree::{FileTree, Files, MAX_TREE_BYTES, STAGING_PREFIX};
pub use wasm::{MAX_WASM_BYTES, Wasm};

/// An app out of an image, with the wasm and the files of each component.
pub struct LoadedApp {
    /// The app; its references to content are as the image has them.
    pub app: LockedApp,
    /// By component id; all components.
    pub components: BTreeMap<String, Wasm>,
    /// By component id; all components.
    pub files: BTreeMap<String, Files>,
    /// By component id; those that see something of the pod's volumes besides.
    pub volumes: BTreeMap<String, Vec<VolumeDirectory>>,
}
