//! What a Spin app is: manifest, locked app, ids, variable expressions, allowed hosts.
//!
//! Pure: no file is read, nothing is fetched, nothing waits. Everything here is made from text that came from outside and is not trusted.

mod app;
mod check;
mod error;
mod id;
pub mod locked;
pub mod manifest;
pub mod outbound;
pub mod retain;
pub mod template;
pub mod text;
pub mod variables;
mod volume;

pub use app::MAX_LOCKED_APP_BYTES;
pub use error::Error;
pub use locked::{ContentRef, LockedApp, LockedComponent, LockedFile, LockedSource, LockedTrigger, LockedVariable};
pub use manifest::{FileMount, FilePatterns, MAX_MANIFEST_BYTES, ManifestApp, lock_manifest};
pub use volume::VolumeDirectory;
