//! Tar files, always the same for the same content, and the image layout that `ctr images import` reads.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use serde_json::json;
use tar::{Builder, EntryType, Header};

use super::{IMAGE_INDEX, Image};
use crate::OciError;

/// Writes an image as a tar file of an OCI layout, known by `name` to whoever imports it.
pub fn write_archive(image: &Image, name: &str, to: &Path) -> Result<(), OciError> {
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |error: io::Error| OciError::file(to, error);
    let mut file = tempfile::NamedTempFile::new_in(parent).map_err(failed)?;
    write_layout(image, name, file.as_file_mut(), to)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(to).map_err(|error| failed(error.error))?;
    Ok(())
}

fn write_layout(image: &Image, name: &str, file: &mut File, to: &Path) -> Result<(), OciError> {
    let failed = |error: io::Error| OciError::file(to, error);
    let mut tar = Builder::new(io::BufWriter::new(file));
    append(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#).map_err(failed)?;
    append(&mut tar, "index.json", index(image, name).as_bytes()).map_err(failed)?;
    append_directory(&mut tar, "blobs").map_err(failed)?;
    append_directory(&mut tar, "blobs/sha256").map_err(failed)?;
    let blobs: BTreeMap<_, _> = image.blobs.iter().chain(&image.manifests).map(|blob| (blob.digest.hex(), blob)).collect();
    for (hex, blob) in blobs {
        append(&mut tar, &format!("blobs/sha256/{hex}"), &blob.read()?).map_err(failed)?;
    }
    tar.into_inner().and_then(|mut file| file.flush()).map_err(failed)
}

fn index(image: &Image, name: &str) -> String {
    let mut top = image.top().descriptor();
    // containerd takes the first for the image's name; the second is what the format has for it.
    let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    top["annotations"] = json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag });
    json!({ "schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": [top] }).to_string()
}

/// A tar file of these files and the directories above them, sorted, of nobody's and no time.
pub(super) fn tar_of(files: BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>, OciError> {
    let mut tar = Builder::new(Vec::new());
    let failed = |error: io::Error| OciError::file("layer.tar", error);
    let mut directory = String::new();
    for (path, bytes) in files {
        for (slash, _) in path.match_indices('/') {
            // Sorted paths: what is below one directory comes together, but its own name may come twice around `a/b`, `a/b.c`, `a/b/d`.
            if !format!("{directory}/").starts_with(&path[..=slash]) {
                directory = path[..slash].to_owned();
                append_directory(&mut tar, &directory).map_err(failed)?;
            }
        }
        append(&mut tar, &path, &bytes).map_err(failed)?;
    }
    tar.into_inner().map_err(failed)
}

/// Compresses with nothing in the header that depends on time or machine.
pub(super) fn gzip(bytes: &[u8]) -> Result<Vec<u8>, OciError> {
    let mut encoder = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::default());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).map_err(|error| OciError::file("layer.tar.gz", error))
}

fn append(tar: &mut Builder<impl Write>, path: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = header(EntryType::Regular, 0o644);
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, path, bytes)
}

fn append_directory(tar: &mut Builder<impl Write>, path: &str) -> io::Result<()> {
    tar.append_data(&mut header(EntryType::Directory, 0o755), format!("{path}/"), io::empty())
}

fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}
