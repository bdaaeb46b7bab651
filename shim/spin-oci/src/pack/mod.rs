//! Images of apps: made from a developer's tree, the same bytes from the same tree.

mod artifact;
mod layout;
mod manifest;
mod plain;

use std::fs::File;
use std::path::Path;

use serde_json::{Value, json};

use crate::root::Root;
use crate::rootfs::{read_manifest, tree, wasm};
use crate::{Digest, Files, LoadedApp, OciError, Wasm};

pub use artifact::{Archives, Artifact};
pub use layout::write_archive;
pub use plain::plain;

/// Media type of an image's manifest.
pub const IMAGE_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an index of images, one a platform.
pub const IMAGE_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of an image's configuration.
pub const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Nobody: a pod that asks for `runAsNonRoot` gets it, as the number is in the image.
const USER: &str = "65532:65532";

/// An image, ready to be written or pushed: its blobs first, then its manifests, of which the last is the image itself.
pub struct Image {
    /// Layers and configurations.
    pub blobs: Vec<Blob>,
    /// Manifests, and the index over them where there is one: the last.
    pub manifests: Vec<Blob>,
}

impl Image {
    /// The manifest, or the index, that the image's name leads to.
    pub fn top(&self) -> &Blob {
        self.manifests.last().expect("an image is made with its manifest")
    }
}

/// One blob of an image.
pub struct Blob {
    /// Of the content.
    pub media_type: &'static str,
    /// Of the content.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    content: Content,
}

enum Content {
    Bytes(Vec<u8>),
    Wasm(Wasm),
    File(Root, String),
}

impl Blob {
    fn bytes(media_type: &'static str, bytes: Vec<u8>) -> Self {
        let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
        Self { media_type, digest, size, content: Content::Bytes(bytes) }
    }

    fn json(media_type: &'static str, value: &Value) -> Self {
        // Maps of JSON values are sorted: one value, one text.
        Self::bytes(media_type, value.to_string().into_bytes())
    }

    /// Reads the content; fails if a file has changed meanwhile.
    pub fn read(&self) -> Result<Vec<u8>, OciError> {
        let (bytes, name) = match &self.content {
            Content::Bytes(bytes) => return Ok(bytes.clone()),
            Content::Wasm(wasm) => return wasm.read(),
            Content::File(root, path) => (read_file(root, path)?, path),
        };
        let found = Digest::of(&bytes);
        match found == self.digest {
            true => Ok(bytes),
            false => Err(OciError::Corrupt { what: name.clone(), expected: self.digest.to_string(), found: found.to_string() }),
        }
    }

    fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest.as_str(), "size": self.size })
    }
}

/// Reads an app from a developer's directory, whose `spin.toml` may refer to files outside.
pub fn load_directory(directory: &Path) -> Result<LoadedApp, OciError> {
    let opened = File::open(directory).map_err(|error| OciError::file(directory, error))?;
    let root = Root::trusted(opened.into());
    let manifest = read_manifest(&root)?;
    let (components, files, volumes) = <_>::default();
    let mut loaded = LoadedApp { app: manifest.app, components, files, volumes };
    for component in &loaded.app.components {
        let wasm = wasm(&root, component, &())?;
        wasm.read()?;
        loaded.components.insert(component.id.clone(), wasm);
        let files = match manifest.files.get(&component.id) {
            Some(patterns) => Files::Tree(tree(&root, &component.id, patterns)?),
            None => Files::None,
        };
        loaded.files.insert(component.id.clone(), files);
    }
    Ok(loaded)
}

fn read_file(root: &Root, path: &str) -> Result<Vec<u8>, OciError> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let read = root.open_file(path).and_then(|mut file| file.read_to_end(&mut bytes));
    read.map_err(|error| OciError::file(path, error))?;
    Ok(bytes)
}
