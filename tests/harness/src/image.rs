//! What `docker build` makes of `FROM scratch` and `COPY . /`, without a docker: nothing is checked, nothing is rewritten.

use std::fs::File;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Writes `dir` as an image of one layer into an OCI archive at `out`.
pub fn from_scratch(dir: &Path, name: &str, out: &Path) {
    with_command(dir, name, &["/"], out);
}

/// The same, with another command than `/`.
pub fn with_command(dir: &Path, name: &str, command: &[&str], out: &Path) {
    let mut layer = tar::Builder::new(Vec::new());
    layer.follow_symlinks(false);
    layer.append_dir_all(".", dir).expect("the directory can be read");
    let layer = layer.into_inner().expect("memory can be written");
    let mut archive = tar::Builder::new(File::create(out).expect("the archive can be made"));
    let mut blob = |media_type: &str, bytes: &[u8]| put_blob(&mut archive, media_type, bytes);
    let layer = blob("application/vnd.oci.image.layer.v1.tar", &layer);
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }, "os": "linux", "config": { "Cmd": command },
        "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
    });
    let config = blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({ "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer] });
    let mut manifest = blob(media_type, manifest.to_string().as_bytes());
    manifest["annotations"] = json!({ "io.containerd.image.name": name });
    let index = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [manifest] });
    put(&mut archive, "index.json", index.to_string().as_bytes());
    put(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    archive.finish().expect("the archive can be written");
}

/// Adds a blob; its descriptor.
fn put_blob(archive: &mut tar::Builder<File>, media_type: &str, bytes: &[u8]) -> Value {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    put(archive, &format!("blobs/sha256/{hex}"), bytes);
    json!({ "mediaType": media_type, "digest": format!("sha256:{hex}"), "size": bytes.len() })
}

fn put(archive: &mut tar::Builder<File>, path: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    archive.append_data(&mut header, path, bytes).expect("the archive can be written");
}
