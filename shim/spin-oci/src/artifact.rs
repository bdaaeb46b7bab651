//! Images without a root file system: what `spin registry push` and `wkg oci push` make.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use oci_spec::image::{Descriptor as OciDescriptor, ImageManifest};
use serde::Deserialize;
use serde_json::json;
use spin_app::{ContentRef, LockedApp, LockedComponent, LockedSource, LockedTrigger, MAX_LOCKED_APP_BYTES};

use crate::blobs::{Blobs, Descriptor, SharedBlobs};
use crate::tree::Source;
use crate::{Digest, FileTree, Files, LoadedApp, OciError, Wasm, media};

/// The largest manifest: containerd and the registries draw the line at the same place.
const MAX_MANIFEST_BYTES: usize = 4 << 20;
/// Manifests of an image index that are looked at: an image has one for each platform.
const MAX_INDEX_MANIFESTS: usize = 64;
/// The one component of an image that is a single wasm file.
const SOLE_COMPONENT: &str = "component";

/// Whether an image's manifest has Spin's or wasm layers, and no root file system to be run instead.
pub fn is_artifact(manifest: &[u8]) -> bool {
    let Ok(manifest) = parse(manifest) else { return false };
    let ours = |descriptor: &OciDescriptor| media::is_ours(descriptor.media_type().as_ref());
    ours(manifest.config()) || manifest.layers().iter().any(ours)
}

/// The digests of the manifests that an image index names, in their order, at most 64 of them; none of a document that is no
/// index. Digests of other algorithms than SHA-256 are left out.
pub fn index_manifests(document: &[u8]) -> Vec<Digest> {
    #[derive(Default, Deserialize)]
    struct Index {
        #[serde(default)]
        manifests: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        digest: String,
    }
    if document.len() > MAX_MANIFEST_BYTES {
        return Vec::new();
    }
    let Index { manifests } = serde_json::from_slice(document).unwrap_or_default();
    manifests.iter().filter_map(|entry| Digest::parse(&entry.digest).ok()).take(MAX_INDEX_MANIFESTS).collect()
}

/// Loads an app from an image's manifest and its blobs. Only the locked app is read now; the rest when it is wanted, and verified then.
pub fn load_artifact(manifest: &[u8], blobs: SharedBlobs) -> Result<LoadedApp, OciError> {
    let manifest = parse(manifest)?;
    let layers = manifest.layers().iter().map(descriptor).collect::<Result<Vec<_>, _>>()?;
    match locked_app(&manifest, &layers)? {
        Some(locked) => {
            let app = LockedApp::parse(&locked.read(blobs.as_ref(), MAX_LOCKED_APP_BYTES as u64)?)?;
            Layers::new(layers, blobs).load(app)
        }
        None => load_package(&manifest, &layers, blobs),
    }
}

fn parse(manifest: &[u8]) -> Result<ImageManifest, OciError> {
    match manifest.len() > MAX_MANIFEST_BYTES {
        true => Err(OciError::TooLarge { what: "the image's manifest".to_owned(), limit: MAX_MANIFEST_BYTES as u64 }),
        false => serde_json::from_slice(manifest).map_err(|error| OciError::ImageManifest(error.to_string())),
    }
}

fn descriptor(of: &OciDescriptor) -> Result<Descriptor, OciError> {
    let digest = Digest::parse(of.digest().as_ref())?;
    Ok(Descriptor { media_type: of.media_type().to_string(), digest, size: of.size() })
}

/// The locked app is the last layer that says so; in the oldest apps it is the config blob.
fn locked_app(manifest: &ImageManifest, layers: &[Descriptor]) -> Result<Option<Descriptor>, OciError> {
    let layer = layers.iter().rfind(|layer| layer.media_type == media::LOCKED_APP).cloned();
    match layer {
        None if manifest.config().media_type().as_ref() == media::LOCKED_APP => descriptor(manifest.config()).map(Some),
        layer => Ok(layer),
    }
}

/// An image of one wasm file says nothing of triggers: it serves HTTP, all of it, as Spin has it.
fn load_package(manifest: &ImageManifest, layers: &[Descriptor], blobs: SharedBlobs) -> Result<LoadedApp, OciError> {
    let [layer] = layers else { return Err(OciError::NotAnApp) };
    if !media::is_wasm(&layer.media_type) {
        return Err(OciError::NotAnApp);
    }
    let annotation = |name: &str| manifest.annotations().as_ref()?.get(&format!("org.opencontainers.image.{name}")).cloned();
    let component = LockedComponent {
        id: SOLE_COMPONENT.to_owned(),
        source: LockedSource {
            content_type: "application/wasm".to_owned(),
            content: ContentRef { digest: Some(layer.digest.to_string()), ..ContentRef::default() },
        },
        ..LockedComponent::default()
    };
    let trigger = LockedTrigger {
        id: "http".to_owned(),
        trigger_type: "http".to_owned(),
        trigger_config: json!({ "component": SOLE_COMPONENT, "route": "/..." }),
        ..LockedTrigger::default()
    };
    let mut app = LockedApp { triggers: vec![trigger], components: vec![component], ..LockedApp::default() };
    let name = annotation("title").unwrap_or_else(|| SOLE_COMPONENT.to_owned());
    app.metadata.insert("name".to_owned(), name.into());
    app.metadata.extend(annotation("version").map(|version| ("version".to_owned(), version.into())));
    Layers::new(vec![layer.clone()], blobs).load(app)
}

/// The layers of an artifact by digest.
struct Layers {
    by_digest: HashMap<String, Descriptor>,
    archives: Vec<Descriptor>,
    blobs: Arc<dyn Blobs + Send + Sync>,
}

impl Layers {
    fn new(layers: Vec<Descriptor>, blobs: SharedBlobs) -> Self {
        let archives = layers.iter().filter(|layer| layer.media_type == media::ARCHIVE).cloned().collect();
        let by_digest = layers.into_iter().map(|layer| (layer.digest.to_string(), layer)).collect();
        Self { by_digest, archives, blobs }
    }

    fn load(self, app: LockedApp) -> Result<LoadedApp, OciError> {
        let (mut components, mut files) = (BTreeMap::new(), BTreeMap::new());
        for component in &app.components {
            components.insert(component.id.clone(), self.wasm(component)?);
            files.insert(component.id.clone(), self.files(component)?);
        }
        Ok(LoadedApp { app, components, files, volumes: BTreeMap::new() })
    }

    fn wasm(&self, component: &LockedComponent) -> Result<Wasm, OciError> {
        let content = &component.source.content;
        // A file of up to 128 bytes, an empty component say, is inlined like any other.
        if let Some(bytes) = &content.inline {
            return Ok(Wasm::of_bytes(&component.id, bytes.clone()));
        }
        let Some(digest) = &content.digest else {
            return Err(OciError::NoSource { component: component.id.clone(), reason: "its source is not a layer" });
        };
        match self.by_digest.get(digest) {
            Some(layer) => Ok(Wasm::of_blob(&component.id, layer.clone(), self.blobs.clone())),
            None => Err(OciError::MissingLayer { place: format!("component {:?}", component.id), digest: digest.clone() }),
        }
    }

    fn files(&self, component: &LockedComponent) -> Result<Files, OciError> {
        if component.files.is_empty() {
            return Ok(Files::None);
        }
        let mut tree = FileTree::of_blobs(self.blobs.clone(), self.archives.clone());
        for file in &component.files {
            let (digest, source) = self.file(component, &file.path, &file.content)?;
            tree.insert(&component.id, &file.path, digest, source)?;
        }
        Ok(Files::Tree(tree))
    }

    fn file(&self, component: &LockedComponent, path: &str, content: &ContentRef) -> Result<(Digest, Source), OciError> {
        let missing = |digest: &str| OciError::MissingLayer {
            place: format!("component {:?}, file {path:?}", component.id),
            digest: digest.to_owned(),
        };
        if let Some(bytes) = &content.inline {
            return Ok((Digest::of(bytes), Source::Bytes(bytes.as_slice().into())));
        }
        let digest = content.digest.as_deref().ok_or_else(|| missing("(none)"))?;
        let source = match self.by_digest.get(digest) {
            Some(layer) => Source::Blob(layer.clone()),
            None if self.archives.is_empty() => return Err(missing(digest)),
            None => Source::Archived,
        };
        Ok((Digest::parse(digest)?, source))
    }
}
