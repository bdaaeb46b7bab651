//! The plain image: what `FROM scratch` and a few `COPY` lines make, with a manifest that refers to nothing outside.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Blob, IMAGE_CONFIG, IMAGE_INDEX, IMAGE_MANIFEST, Image, USER, layout, manifest, read_file};
use crate::tree::Source;
use crate::{Digest, Files, LoadedApp, OciError};

/// Media type of a layer of a root file system.
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The nodes' platforms. The layer is the same for all; but containerd 2 unpacks an image for its own platform only, and takes what an image
/// says in its configuration seriously.
const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];

/// The image of an app, one for every platform.
pub fn plain(app: &LoadedApp) -> Result<Image, OciError> {
    let tar = layout::tar_of(files(app)?)?;
    let diff_id = Digest::of(&tar);
    let layer = Blob::bytes(LAYER, layout::gzip(&tar)?);
    let (mut blobs, mut manifests, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    for architecture in ARCHITECTURES {
        let config = config(architecture, &diff_id);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": IMAGE_MANIFEST,
            "config": config.descriptor(),
            "layers": [layer.descriptor()],
        });
        let manifest = Blob::json(IMAGE_MANIFEST, &manifest);
        let mut entry = manifest.descriptor();
        entry["platform"] = json!({ "architecture": architecture, "os": "linux" });
        entries.push(entry);
        manifests.push(manifest);
        blobs.push(config);
    }
    blobs.insert(0, layer);
    manifests.push(index(entries));
    Ok(Image { blobs, manifests })
}

fn index(manifests: Vec<Value>) -> Blob {
    Blob::json(IMAGE_INDEX, &json!({ "schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": manifests }))
}

/// containerd refuses a container without a command before the shim is asked; what it says means nothing to us.
fn config(architecture: &str, diff_id: &Digest) -> Blob {
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": { "User": USER, "Entrypoint": ["/"], "WorkingDir": "/" },
        "rootfs": { "type": "layers", "diff_ids": [diff_id.as_str()] },
    });
    Blob::json(IMAGE_CONFIG, &config)
}

/// Everything flat: `spin.toml`, a wasm file and a directory of files for each component.
fn files(app: &LoadedApp) -> Result<BTreeMap<String, Vec<u8>>, OciError> {
    let mut files = BTreeMap::new();
    files.insert("spin.toml".to_owned(), manifest::write(app)?.into_bytes());
    for (id, wasm) in &app.components {
        files.insert(manifest::wasm_path(id), wasm.read()?);
    }
    for (id, mounted) in &app.files {
        let Files::Tree(tree) = mounted else { continue };
        for (path, _, source) in tree.sources() {
            let Source::File(root, from) = source else { continue };
            files.insert(format!("{}/{path}", manifest::files_path(id)), read_file(root, from)?);
        }
    }
    Ok(files)
}
