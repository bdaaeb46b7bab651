//! Opening an image wherever it is: a registry, a tar file of a layout, a layout, or the directory of an app that is no image yet.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use oci_spec::image::{Descriptor as OciDescriptor, ImageIndex, ImageManifest};
use tempfile::TempDir;

use crate::blobs::Descriptor;
use crate::pack::load_directory;
use crate::push::{PlainHttp, Registry};
use crate::root::MAX_ENTRIES;
use crate::{Digest, Layout, LoadedApp, MAX_TREE_BYTES, OciError, SharedBlobs, is_artifact, load_artifact, load_rootfs};

/// The largest manifest or index.
const MAX_MANIFEST_BYTES: u64 = 4 << 20;
/// The largest layer of a plain image, and all that it may unpack to.
const MAX_LAYER_BYTES: u64 = MAX_TREE_BYTES;

/// What was opened.
pub struct Opened {
    /// The app.
    pub app: LoadedApp,
    /// What it was found in.
    pub kind: Kind,
    /// Of the image, where there is one.
    pub digest: Option<Digest>,
    /// Where what is read later was put; goes with this.
    _unpacked: Vec<TempDir>,
}

/// What an app was found in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Layers of wasm and data.
    Artifact,
    /// A root file system.
    Plain,
    /// A developer's tree.
    Directory,
}

/// Opens a directory or a file if there is one of that name, and an image at a registry otherwise.
pub fn open(target: &str, plain_http: PlainHttp) -> Result<Opened, OciError> {
    let path = Path::new(target);
    if path.join("oci-layout").is_file() {
        return of_layout(path, Vec::new());
    }
    if path.is_dir() {
        return Ok(Opened { app: load_directory(path)?, kind: Kind::Directory, digest: None, _unpacked: Vec::new() });
    }
    if path.is_file() {
        let unpacked = unpack_layout(path)?;
        return of_layout(unpacked.path().to_owned().as_path(), vec![unpacked]);
    }
    let registry = Arc::new(Registry::new(target, plain_http)?);
    let top = registry.manifest(None)?;
    let digest = Digest::of(&top);
    let manifest = match choose(&top)? {
        Some(chosen) => registry.manifest(Some(chosen.digest.as_str()))?,
        None => top,
    };
    of_manifest(&manifest, digest, registry, Vec::new())
}

fn of_layout(directory: &Path, unpacked: Vec<TempDir>) -> Result<Opened, OciError> {
    let blobs = Arc::new(Layout::new(directory));
    let path = directory.join("index.json");
    let index = File::open(&path).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(MAX_MANIFEST_BYTES).read_to_end(&mut bytes).map(|_| bytes)
    });
    let mut manifest = index.map_err(|error| OciError::file(&path, error))?;
    let mut digest = None;
    // An index may lead to another; two levels are all that is ever made.
    for _ in 0..3 {
        let Some(chosen) = choose(&manifest)? else { break };
        manifest = chosen.read(blobs.as_ref(), MAX_MANIFEST_BYTES)?;
        digest.get_or_insert(chosen.digest);
    }
    let digest = digest.unwrap_or_else(|| Digest::of(&manifest));
    of_manifest(&manifest, digest, blobs, unpacked)
}

fn of_manifest(manifest: &[u8], digest: Digest, blobs: SharedBlobs, mut unpacked: Vec<TempDir>) -> Result<Opened, OciError> {
    if is_artifact(manifest) {
        return Ok(Opened {
            app: load_artifact(manifest, blobs)?,
            kind: Kind::Artifact,
            digest: Some(digest),
            _unpacked: unpacked,
        });
    }
    let root = unpack_layers(manifest, blobs)?;
    let opened = File::open(root.path()).map_err(|error| OciError::file(root.path(), error))?;
    let app = load_rootfs(opened.as_fd(), &())?;
    unpacked.push(root);
    Ok(Opened { app, kind: Kind::Plain, digest: Some(digest), _unpacked: unpacked })
}

/// The image of an index that is for this machine, or the first; `None` where it is no index.
fn choose(document: &[u8]) -> Result<Option<Descriptor>, OciError> {
    let Ok(index) = serde_json::from_slice::<ImageIndex>(document) else { return Ok(None) };
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let fits = |descriptor: &&OciDescriptor| {
        descriptor.platform().as_ref().is_some_and(|platform| platform.architecture().to_string() == architecture)
    };
    let chosen = index.manifests().iter().find(fits).or(index.manifests().first());
    let chosen = chosen.ok_or_else(|| OciError::ImageManifest("the index has no image".to_owned()))?;
    descriptor(chosen).map(Some)
}

fn descriptor(of: &OciDescriptor) -> Result<Descriptor, OciError> {
    let digest = Digest::parse(of.digest().as_ref())?;
    Ok(Descriptor { media_type: of.media_type().to_string(), digest, size: of.size() })
}

/// Takes the files of a layout out of a tar file, and nothing else.
fn unpack_layout(tar: &Path) -> Result<TempDir, OciError> {
    let failed = |error: io::Error| OciError::file(tar, error);
    let wanted = |path: &str| match path.strip_prefix("blobs/sha256/") {
        Some(hex) => Digest::parse(&format!("sha256:{hex}")).is_ok(),
        None => matches!(path, "index.json" | "oci-layout"),
    };
    let directory = tempfile::tempdir().map_err(failed)?;
    unpack(File::open(tar).map_err(failed)?, directory.path(), &wanted).map_err(failed)?;
    match directory.path().join("index.json").is_file() {
        true => Ok(directory),
        false => Err(failed(io::Error::new(io::ErrorKind::InvalidData, "is not a tar file of an OCI image layout"))),
    }
}

/// Puts the regular files of all layers over one another, to be looked at: what else a root file system has is not of interest.
fn unpack_layers(manifest: &[u8], blobs: SharedBlobs) -> Result<TempDir, OciError> {
    let manifest: ImageManifest = serde_json::from_slice(manifest).map_err(|error| OciError::ImageManifest(error.to_string()))?;
    let directory = tempfile::tempdir().map_err(|error| OciError::file("/tmp", error))?;
    for layer in manifest.layers() {
        let layer = descriptor(layer)?;
        if layer.size > MAX_LAYER_BYTES {
            return Err(OciError::TooLarge { what: layer.digest.to_string(), limit: MAX_LAYER_BYTES });
        }
        let mut blob = layer.open(blobs.as_ref())?;
        let unpacked = match layer.media_type.rsplit(['+', '.']).next() {
            Some("gzip") => unpack(MultiGzDecoder::new(&mut blob), directory.path(), &|_| true),
            Some("tar") => unpack(&mut blob, directory.path(), &|_| true),
            _ => Err(io::Error::other(format!("layers of type {} can't be read", layer.media_type))),
        };
        unpacked.map_err(|error| layer.unreadable(error))?;
        blob.verify(&layer)?;
    }
    Ok(directory)
}

/// Writes the regular files of a tar file that are wanted, below a directory that holds no links.
fn unpack(tar: impl Read, directory: &Path, wanted: &dyn Fn(&str) -> bool) -> io::Result<()> {
    let mut archive = tar::Archive::new(tar.take(MAX_LAYER_BYTES));
    for (count, entry) in archive.entries()?.enumerate() {
        let mut entry = entry?;
        if count > MAX_ENTRIES {
            return Err(io::Error::other(format!("more than {MAX_ENTRIES} files and directories")));
        }
        let Some(path) = entry.path().ok().and_then(|path| inside(&path)) else { continue };
        if !entry.header().entry_type().is_file() || !wanted(&path) {
            continue;
        }
        let target = directory.join(&path);
        fs::create_dir_all(target.parent().unwrap_or(directory))?;
        io::copy(&mut entry, &mut File::create(target)?)?;
    }
    Ok(())
}

/// A path that leads straight down, without `./`.
fn inside(path: &Path) -> Option<String> {
    use std::path::Component;
    let mut inside = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => inside.push(name),
            Component::CurDir | Component::RootDir => {}
            _ => return None,
        }
    }
    inside.into_os_string().into_string().ok().filter(|path| !path.is_empty())
}
