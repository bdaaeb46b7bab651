//! Opening an image wherever it is: a registry, a tar file of a layout, a layout, or the directory of an app that is no image yet.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use oci_spec::image::{Descriptor as OciDescriptor, ImageIndex, ImageManifest};
use rustix::fs::{Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;
use tar::{Archive, Entry, EntryType};
use tempfile::TempDir;

use crate::archive::Limited;
use crate::blobs::Descriptor;
use crate::pack::load_directory;
use crate::push::{PlainHttp, Registry};
use crate::root::MAX_ENTRIES;
use crate::{Digest, Layout, LoadedApp, MAX_TREE_BYTES, OciError, SharedBlobs, is_artifact, load_artifact, load_rootfs};

/// The largest manifest or index.
const MAX_MANIFEST_BYTES: u64 = 4 << 20;
/// The largest layer of a plain image, and all that the layers together may unpack to.
const MAX_LAYER_BYTES: u64 = MAX_TREE_BYTES;
/// The longest name of an entry in a tar file: no path on Linux is longer.
const MAX_NAME_BYTES: u64 = 4096;
/// The largest extended header (PAX) of an entry, which has its extended attributes too.
const MAX_PAX_BYTES: u64 = 1 << 20;

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
    let app = load_rootfs(opened.as_fd(), &(), &[])?;
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
    unpack(Limited { inner: File::open(tar).map_err(failed)?, left: MAX_LAYER_BYTES }, directory.path(), &wanted)
        .map_err(failed)?;
    match directory.path().join("index.json").is_file() {
        true => Ok(directory),
        false => Err(failed(io::Error::new(io::ErrorKind::InvalidData, "is not a tar file of an OCI image layout"))),
    }
}

/// Puts the regular files of all layers over one another, to be looked at: what else a root file system has is not of interest.
fn unpack_layers(manifest: &[u8], blobs: SharedBlobs) -> Result<TempDir, OciError> {
    let manifest: ImageManifest = serde_json::from_slice(manifest).map_err(|error| OciError::ImageManifest(error.to_string()))?;
    let directory = tempfile::tempdir().map_err(|error| OciError::file("/tmp", error))?;
    let mut left = MAX_LAYER_BYTES;
    for layer in manifest.layers() {
        let layer = descriptor(layer)?;
        if layer.size > MAX_LAYER_BYTES {
            return Err(OciError::TooLarge { what: layer.digest.to_string(), limit: MAX_LAYER_BYTES });
        }
        let mut blob = layer.open(blobs.as_ref())?;
        let unpacked = match layer.media_type.rsplit(['+', '.']).next() {
            Some("gzip") => unpack(Limited { inner: MultiGzDecoder::new(&mut blob), left }, directory.path(), &|_| true),
            Some("tar") => unpack(Limited { inner: &mut blob, left }, directory.path(), &|_| true),
            _ => Err(io::Error::other(format!("layers of type {} can't be read", layer.media_type))),
        };
        left = unpacked.map_err(|error| layer.unreadable(error))?;
        blob.verify(&layer)?;
    }
    Ok(directory)
}

/// Writes the regular files of a tar file that are wanted, below a directory that holds no links. Returns how many more bytes may
/// be read.
fn unpack(tar: Limited<impl Read>, directory: &Path, wanted: &dyn Fn(&str) -> bool) -> io::Result<u64> {
    let root = File::open(directory)?;
    let mut archive = Archive::new(tar);
    let mut long_name = None;
    // `raw`: a name that is too long for its entry's header is an entry of its own then, of which no more is read than is allowed.
    for (count, entry) in archive.entries()?.raw(true).enumerate() {
        let mut entry = entry?;
        if count > MAX_ENTRIES {
            return Err(io::Error::other(format!("more than {MAX_ENTRIES} files and directories")));
        }
        match entry.header().entry_type() {
            EntryType::GNULongName => long_name = Some(gnu_name(&mut entry)?),
            EntryType::XHeader => long_name = pax_name(&mut entry)?.or(long_name),
            EntryType::GNULongLink | EntryType::XGlobalHeader => {}
            // Its length is not the one in its header.
            EntryType::GNUSparse => return Err(io::Error::other("sparse files can't be read")),
            kind => {
                let name = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
                let path = inside(Path::new(OsStr::from_bytes(&name)));
                if let Some(path) = path.filter(|path| kind.is_file() && wanted(path)) {
                    io::copy(&mut entry, &mut create(&root, Path::new(&path))?)?;
                }
            }
        }
    }
    Ok(archive.into_inner().left)
}

/// The name that an entry of GNU's format gives to the next one; a zero ends it.
fn gnu_name(entry: &mut Entry<'_, impl Read>) -> io::Result<Vec<u8>> {
    check_size(entry, MAX_NAME_BYTES + 1)?;
    let mut name = Vec::new();
    entry.read_to_end(&mut name)?;
    if name.last() == Some(&0) {
        name.pop();
    }
    Ok(name)
}

/// The name that an extended header gives to the next entry, if it gives one.
fn pax_name(entry: &mut Entry<'_, impl Read>) -> io::Result<Option<Vec<u8>>> {
    check_size(entry, MAX_PAX_BYTES)?;
    let mut name = None;
    for record in entry.pax_extensions()?.into_iter().flatten() {
        let record = record?;
        if record.key_bytes() == b"path" {
            name = Some(record.value_bytes().to_vec());
        }
    }
    match name {
        Some(name) if name.len() as u64 > MAX_NAME_BYTES => Err(too_long(name.len() as u64, MAX_NAME_BYTES)),
        name => Ok(name),
    }
}

fn check_size(entry: &Entry<'_, impl Read>, most: u64) -> io::Result<()> {
    if entry.size() > most { Err(too_long(entry.size(), most)) } else { Ok(()) }
}

fn too_long(size: u64, most: u64) -> io::Error {
    let reason = format!("the name of an entry, or its extended header, has {size} bytes, but may have at most {most}");
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// Creates a file, and the directories above it, one after the other: a system call takes no path of 4096 bytes.
fn create(root: &File, path: &Path) -> io::Result<File> {
    let mut directory = root.try_clone()?;
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for name in path.parent().into_iter().flat_map(Path::iter) {
        match mkdirat(&directory, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        directory = openat(&directory, name, flags | OFlags::DIRECTORY, Mode::empty())?.into();
    }
    let flags = flags | OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
    Ok(openat(&directory, path.file_name().unwrap_or_default(), flags, Mode::RUSR | Mode::WUSR)?.into())
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
