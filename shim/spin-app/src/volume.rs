//! Directories of volumes, which a component sees beside the files of its image.

use serde::{Deserialize, Serialize};

/// A directory in a volume that a component sees. No path has a slash at either end.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct VolumeDirectory {
    /// Where the volume is mounted in the container.
    pub volume: String,
    /// The directory's path in the volume; empty: the whole volume.
    pub below: String,
    /// Where the guest sees it; empty: as its root.
    pub guest: String,
    /// Whether the manifest names a directory above the volume, and not the volume itself.
    pub is_implied: bool,
}
