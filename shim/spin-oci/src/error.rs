//! What can be wrong with an image, each as a sentence for the person who made it.

use std::io;
use std::path::PathBuf;

/// An image, or an app on its way into one, that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// A plain image without a manifest.
    #[error("the image has no /spin.toml")]
    NoManifest,
    /// The manifest or the locked app is wrong.
    #[error(transparent)]
    App(#[from] spin_app::Error),
    /// A component's source that can't be had from an image.
    #[error("component {component:?} has no wasm in the image: {reason}")]
    NoSource {
        /// The component.
        component: String,
        /// What its source is instead.
        reason: &'static str,
    },
    /// A component's wasm that is not there or can't be opened.
    #[error("component {component:?}: can't read its wasm {path:?}: {error}")]
    Wasm {
        /// The component.
        component: String,
        /// As the manifest has it.
        path: String,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Not a wasm file, told by its first bytes.
    #[error("component {component:?}: {path:?} is not a wasm file")]
    NotWasm {
        /// The component.
        component: String,
        /// As the manifest has it, or the layer's digest.
        path: String,
    },
    /// Larger than its limit, or than it says.
    #[error("{what} is larger than the {limit} bytes allowed")]
    TooLarge {
        /// The path, the digest, the mount.
        what: String,
        /// In bytes.
        limit: u64,
    },
    /// The node's disk, or the node's cache, is too full.
    #[error("the files take more than the {room} bytes that are left for them on the node")]
    NoRoom {
        /// In bytes.
        room: u64,
    },
    /// An entry of `files` that can't be resolved.
    #[error("component {component:?}: files entry {entry:?}: {reason}")]
    Files {
        /// The component.
        component: String,
        /// As the manifest has it.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A path of a file of a component that leads elsewhere.
    #[error("{place}: {path:?} is not a path inside the app: {reason}")]
    Path {
        /// The component, or the archive.
        place: String,
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The image's manifest is not one.
    #[error("the image's manifest is malformed: {0}")]
    ImageManifest(String),
    /// A manifest without anything of Spin's in it.
    #[error("the image holds neither a Spin app nor a single wasm layer")]
    NotAnApp,
    /// Not `sha256:` and 64 hexadecimal digits.
    #[error("{0:?} is not a sha256 digest")]
    Digest(String),
    /// Content that the app needs and the image's manifest does not list.
    #[error("{place}: no layer of the image has the content {digest}")]
    MissingLayer {
        /// The component and the file.
        place: String,
        /// What was looked for.
        digest: String,
    },
    /// A blob that can't be read.
    #[error("can't read {digest}: {error}")]
    Blob {
        /// The blob.
        digest: String,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Content that is not what its digest says.
    #[error("the content of {what} is not what the image says: expected {expected}, found {found}")]
    Corrupt {
        /// The path, or the layer.
        what: String,
        /// The digest, or the size, the image has.
        expected: String,
        /// What there is.
        found: String,
    },
    /// An archive layer with something in it that no such layer may have.
    #[error("the archive {digest} is refused: {entry:?} {reason}")]
    Archive {
        /// The layer.
        digest: String,
        /// The entry's path.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of an app, or of the tree made for it.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// An app that can't be made into an image.
    #[error("{place}: {reason}")]
    Pack {
        /// The component, the field.
        place: String,
        /// Why not.
        reason: String,
    },
    /// Not the name of an image.
    #[error("{text:?} is not the name of an image: {reason}")]
    Reference {
        /// As it was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// docker's configuration, or the helper it names, that can't be used.
    #[error("{}: {reason}", path.display())]
    Credentials {
        /// The configuration.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A machine without certificates of authorities, or with none that can be read.
    #[error(
        "TLS can't be set up: {reason}; install the system's certificates (ca-certificates), or name a file of them in SSL_CERT_FILE"
    )]
    Tls {
        /// What the TLS library says.
        reason: String,
    },
    /// A registry that wants other credentials, or credentials at all.
    #[error("{registry} does not let us {operation}: {reason}")]
    Unauthorized {
        /// Host and port.
        registry: String,
        /// What was tried.
        operation: String,
        /// What it says, and what we have.
        reason: String,
    },
    /// A registry that can't be reached, or answers with an error.
    #[error("can't {operation} at {registry}: {reason}")]
    Registry {
        /// Host and port.
        registry: String,
        /// What was tried.
        operation: String,
        /// What went wrong.
        reason: String,
    },
}

impl OciError {
    /// The exit code of an app that can't be loaded for this reason (docs/operations.md).
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::NoManifest
            | Self::App(_)
            | Self::Files { .. }
            | Self::Path { .. }
            | Self::Pack { .. }
            | Self::Reference { .. }
            | Self::NotAnApp => 64,
            Self::NoSource { .. } | Self::Wasm { .. } | Self::NotWasm { .. } => 65,
            Self::TooLarge { .. }
            | Self::ImageManifest(_)
            | Self::Digest(_)
            | Self::MissingLayer { .. }
            | Self::Blob { .. }
            | Self::Corrupt { .. }
            | Self::Archive { .. }
            | Self::NoRoom { .. }
            | Self::File { .. } => 68,
            // Of the command alone; of sysexits.h, like the others.
            Self::Registry { .. } | Self::Tls { .. } => 69,
            Self::Credentials { .. } | Self::Unauthorized { .. } => 77,
        }
    }

    pub(crate) fn file(path: impl Into<PathBuf>, error: impl Into<io::Error>) -> Self {
        Self::File { path: path.into(), error: error.into() }
    }
}
