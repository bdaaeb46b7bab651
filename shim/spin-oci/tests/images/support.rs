//! Apps and images to try things on.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use spin_oci::{Blobs, Digest, FileTree, Files, InThisProcess, LoadedApp, OciError, load_artifact, media};
use tempfile::TempDir;

/// A component that does nothing, with a custom section of so many bytes.
pub fn wasm(padding: u8) -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    // Section 0, its size in LEB128 (below 128 one byte), the length of its name, the name.
    bytes.extend([0, padding.min(120) + 1, padding.min(120)]);
    bytes.extend(std::iter::repeat_n(b'x', padding.min(120).into()));
    bytes.extend((0..20).flat_map(|_| [0, 2, 1, b'y']));
    bytes
}

/// The manifest of an app `app` with one component `main`, which has these further lines.
pub fn manifest(component: &str) -> String {
    format!(
        "spin_manifest_version = 2\n[application]\nname = \"app\"\nversion = \"1.0.0\"\n[[trigger.http]]\nroute = \"/...\"\n\
         component = \"main\"\n[component.main]\nsource = \"main.wasm\"\n{component}\n"
    )
}

/// A directory of these files, directories made as needed.
pub fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (path, bytes) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    directory
}

/// The directory of an app with one component `main`.
pub fn app(component: &str, files: &[(&str, &[u8])]) -> TempDir {
    let (manifest, wasm) = (manifest(component), wasm(100));
    let mut all: Vec<(&str, &[u8])> = vec![("spin.toml", manifest.as_bytes()), ("main.wasm", &wasm)];
    all.extend(files);
    directory(&all)
}

/// An artifact being put together, with its blobs in memory.
#[derive(Clone, Default)]
pub struct Artifact {
    layers: Vec<Value>,
    blobs: HashMap<String, Vec<u8>>,
}

impl Artifact {
    pub fn layer(mut self, media_type: &str, bytes: &[u8]) -> Self {
        let digest = Digest::of(bytes);
        self.layers.push(json!({ "mediaType": media_type, "digest": digest.as_str(), "size": bytes.len() }));
        self.blobs.insert(digest.to_string(), bytes.to_vec());
        self
    }

    /// The layer of the locked app: one component `main` with this wasm and these files.
    pub fn app(self, wasm: &[u8], files: Value) -> Self {
        let app = json!({
            "spin_lock_version": 0,
            "metadata": { "name": "app" },
            "triggers": [{ "id": "t", "trigger_type": "http", "trigger_config": { "component": "main", "route": "/..." } }],
            "components": [{ "id": "main", "source": { "content_type": "application/wasm", "digest": Digest::of(wasm).as_str() }, "files": files }],
        });
        self.layer(media::LOCKED_APP, app.to_string().as_bytes())
    }

    /// Puts other bytes in the place of a blob.
    pub fn replace(mut self, bytes: &[u8], by: &[u8]) -> Self {
        self.blobs.insert(Digest::of(bytes).to_string(), by.to_vec());
        self
    }

    pub fn manifest(&self, config_type: &str, config: &[u8]) -> Vec<u8> {
        let config = json!({ "mediaType": config_type, "digest": Digest::of(config).as_str(), "size": config.len() });
        json!({ "schemaVersion": 2, "config": config, "layers": self.layers }).to_string().into_bytes()
    }

    pub fn load(self) -> Result<LoadedApp, OciError> {
        load_artifact(&self.manifest("application/vnd.oci.image.config.v1+json", b"{}"), Arc::new(self))
    }
}

impl Blobs for Artifact {
    fn open(&self, digest: &str) -> io::Result<Box<dyn Read + Send>> {
        let bytes = self.blobs.get(digest).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Cursor::new(bytes.clone())))
    }
}

/// The files of the component `main`, put into a directory.
pub fn materialise(app: &LoadedApp) -> Result<TempDir, OciError> {
    let directory = tempfile::tempdir().unwrap();
    tree(app).materialise(&directory.path().join("tree"), &InThisProcess, u64::MAX)?;
    Ok(directory)
}

/// The files of the component `main`.
pub fn tree(app: &LoadedApp) -> &FileTree {
    match &app.files["main"] {
        Files::Tree(tree) => tree,
        Files::Directory(_) => panic!("a directory, not a tree"),
        Files::None => panic!("no files"),
    }
}

/// The paths of the component `main`.
pub fn paths(app: &LoadedApp) -> Vec<String> {
    tree(app).files().map(|(path, _)| path.to_owned()).collect()
}

/// What a file holds, as text.
pub fn read(directory: &Path, path: &str) -> String {
    fs::read_to_string(directory.join(path)).unwrap()
}
