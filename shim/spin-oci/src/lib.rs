//! OCI images of Spin apps: read, verify, unpack, pack, push.
//!
//! Everything that is read here was made by somebody else: every blob is compared with its digest, every size has a limit, no path leads out.

mod archive;
mod artifact;
mod blobs;
mod digest;
mod error;
pub mod media;
mod pattern;
mod root;
mod rootfs;
mod tree;
mod wasm;

use std::collections::BTreeMap;

use spin_app::{LockedApp, LockedComponent};

pub use artifact::{is_artifact, load_artifact};
pub use blobs::{Blobs, Layout, SharedBlobs};
pub use digest::Digest;
pub use error::OciError;
pub use rootfs::load_rootfs;
pub use tree::{FileTree, Files, MAX_TREE_BYTES};
pub use wasm::{MAX_WASM_BYTES, Wasm};

/// An app out of an image, with the wasm and the files of each component.
pub struct LoadedApp {
    /// The app; its references to content are as the image has them.
    pub app: LockedApp,
    /// By component id; all components.
    pub components: BTreeMap<String, Wasm>,
    /// By component id; all components.
    pub files: BTreeMap<String, Files>,
}

/// Composing is done where an app is pushed; nothing here composes.
fn check_composed(component: &LockedComponent) -> Result<(), OciError> {
    match component.dependencies.is_empty() && component.trigger_dependencies.is_empty() {
        true => Ok(()),
        false => Err(OciError::Dependencies { component: component.id.clone() }),
    }
}
