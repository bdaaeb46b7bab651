//! The artifact, layer by layer as `spin registry push` makes it, so that Spin itself and every shim can run it.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value, json};
use spin_app::{ContentRef, LockedApp, LockedComponent, LockedFile};

use super::{Blob, Content, IMAGE_CONFIG, IMAGE_MANIFEST, Image, USER, layout, read_file};
use crate::tree::Source;
use crate::{FileTree, Files, LoadedApp, OciError, media};

/// The fewest layers a known registry allows an image, less one for the locked app.
const MAX_LAYERS: usize = 499;
/// Content up to this size is in the locked app itself: there are registries that don't take tiny blobs.
const MAX_INLINE: usize = 128;

/// When a component's files go into one archive rather than one layer each.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Archives {
    /// When there would be more layers than registries allow.
    WhenNeeded,
    /// Always.
    Always,
}

/// How an artifact is to be made.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// Archives or single files.
    pub archives: Archives,
    /// Beside those the manifest gives: title, version, description, authors.
    pub annotations: BTreeMap<String, String>,
}

impl Artifact {
    /// The image of an app.
    pub fn image(&self, app: &LoadedApp) -> Result<Image, OciError> {
        let (locked, mut blobs) = self.assemble(app)?;
        blobs.push(Blob::bytes(media::LOCKED_APP, to_json(&locked)));
        let layers: Vec<Value> = blobs.iter().map(Blob::descriptor).collect();
        let digest = blobs.last().map(|layer| layer.digest.to_string());
        // The label makes the configuration, which is the image's id, another for every app.
        let config = Blob::json(
            IMAGE_CONFIG,
            &json!({
                "architecture": "wasm",
                "os": "Wasip1",
                "config": {
                    "User": USER,
                    "Entrypoint": ["/"],
                    "Labels": { "com.fermyon.spin.lockedAppDigest": digest },
                },
                "rootfs": { "type": "layers", "diff_ids": [] },
            }),
        );
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": IMAGE_MANIFEST,
            "config": config.descriptor(),
            "layers": layers,
            "annotations": self.annotations(&locked),
        });
        blobs.push(config);
        Ok(Image { blobs, manifests: vec![Blob::json(IMAGE_MANIFEST, &manifest)] })
    }

    /// The locked app as it will be in the image, for people and for tests.
    pub fn locked_app(&self, app: &LoadedApp) -> Result<LockedApp, OciError> {
        Ok(self.assemble(app)?.0)
    }

    fn assemble(&self, app: &LoadedApp) -> Result<(LockedApp, Vec<Blob>), OciError> {
        if self.archives == Archives::WhenNeeded {
            let (locked, layers) = assemble(app, false)?;
            if layers.len() <= MAX_LAYERS {
                return Ok((locked, layers));
            }
        }
        assemble(app, true)
    }

    fn annotations(&self, app: &LockedApp) -> BTreeMap<String, String> {
        let text = |key: &str| app.metadata.get(key).and_then(Value::as_str).map(str::to_owned);
        let authors = app.metadata.get("authors").and_then(Value::as_array).map(|authors| {
            let authors: Vec<&str> = authors.iter().filter_map(Value::as_str).collect();
            authors.join(", ")
        });
        let inferred =
            [("authors", authors), ("title", text("name")), ("description", text("description")), ("version", text("version"))];
        let inferred = inferred.into_iter().filter_map(|(name, value)| value.map(|value| (name, value)));
        let mut all: BTreeMap<String, String> =
            inferred.filter(|(_, value)| !value.is_empty()).map(|(name, value)| (annotation(name), value)).collect();
        all.extend(self.annotations.clone());
        all
    }
}

fn annotation(name: &str) -> String {
    format!("org.opencontainers.image.{name}")
}

/// The layers without the locked app, and the app with its references turned to them.
fn assemble(app: &LoadedApp, archive: bool) -> Result<(LockedApp, Vec<Blob>), OciError> {
    let mut locked = app.app.clone();
    locked.metadata.remove("origin");
    let mut layers = Layers::default();
    for component in &mut locked.components {
        let wasm = &app.components[&component.id];
        let bytes = wasm.read()?;
        component.source.content = reference(wasm.digest.as_str(), bytes);
        layers.add(Blob {
            media_type: media::WASM,
            digest: wasm.digest.clone(),
            size: wasm.size,
            content: Content::Wasm(wasm.clone()),
        });
        if let Files::Tree(tree) = &app.files[&component.id] {
            layers.add_files(component, tree, archive)?;
        }
    }
    Ok((locked, layers.blobs))
}

/// Layers in order, none twice.
#[derive(Default)]
struct Layers {
    blobs: Vec<Blob>,
    seen: HashSet<(&'static str, String)>,
}

impl Layers {
    fn add(&mut self, blob: Blob) {
        if self.seen.insert((blob.media_type, blob.digest.to_string())) {
            self.blobs.push(blob);
        }
    }

    fn add_files(&mut self, component: &mut LockedComponent, tree: &FileTree, archive: bool) -> Result<(), OciError> {
        let mut archived = BTreeMap::new();
        for (path, digest, source) in tree.sources() {
            let Source::File(root, from) = source else { continue };
            let bytes = read_file(root, from)?;
            let size = bytes.len();
            if archive {
                archived.insert(path.to_owned(), bytes.clone());
            } else if size > MAX_INLINE {
                let content = Content::File(root.clone(), from.clone());
                self.add(Blob { media_type: media::DATA, digest: digest.clone(), size: size as u64, content });
            }
            component.files.push(LockedFile { content: reference(digest.as_str(), bytes), path: path.to_owned() });
        }
        if archive && !archived.is_empty() {
            self.add(Blob::bytes(media::ARCHIVE, layout::gzip(&layout::tar_of(archived)?)?));
        }
        Ok(())
    }
}

fn reference(digest: &str, bytes: Vec<u8>) -> ContentRef {
    let inline = (bytes.len() <= MAX_INLINE).then_some(bytes);
    ContentRef { inline, digest: Some(digest.to_owned()), ..ContentRef::default() }
}

fn to_json(app: &LockedApp) -> Vec<u8> {
    let value = serde_json::to_value(app).unwrap_or(Value::Object(Map::new()));
    value.to_string().into_bytes()
}
