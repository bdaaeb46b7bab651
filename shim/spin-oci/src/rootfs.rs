//! Plain images: a root file system with `/spin.toml` and what it refers to.
//!
//! Whole directories are mounted as they are; single files, globs and exclusions make a tree of their own.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::os::fd::BorrowedFd;

use spin_app::{Error as AppError, FileMount, FilePatterns, LockedComponent, MAX_MANIFEST_BYTES, ManifestApp, lock_manifest};

use crate::pattern::{plain, resolve};
use crate::root::Root;
use crate::tree::Source;
use crate::volumes;
use crate::{Digest, FileTree, Files, KnownDigests, LoadedApp, MAX_TREE_BYTES, OciError, Wasm};

/// Loads an app from an image's root file system; wasm, unless its digest is known, and files are hashed, and read only when they are wanted.
/// `volumes`: the paths in the container where the pod mounts volumes. What they hold is not read.
pub fn load_rootfs(root: BorrowedFd<'_>, known: &dyn KnownDigests, volumes: &[String]) -> Result<LoadedApp, OciError> {
    let root = Root::confined(root).map_err(|error| OciError::file("/", error))?;
    let ManifestApp { app, files: mut patterns } = read_manifest(&root)?;
    let (mut components, mut files, mut of_volumes) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for component in &app.components {
        components.insert(component.id.clone(), wasm(&root, component, known)?);
        let mut patterns = patterns.remove(&component.id).unwrap_or_default();
        let directories = volumes::take(&root, &component.id, &mut patterns, volumes)?;
        let mounted = mount(&root, &component.id, &patterns)?;
        if !matches!(mounted, Files::None) && directories.iter().any(|directory| directory.guest.is_empty()) {
            let reason = "is a volume, which can't be seen at the same place as files of the image".to_owned();
            return Err(OciError::Files { component: component.id.clone(), entry: "/".to_owned(), reason });
        }
        files.insert(component.id.clone(), mounted);
        if !directories.is_empty() {
            of_volumes.insert(component.id.clone(), directories);
        }
    }
    Ok(LoadedApp { app, components, files, volumes: of_volumes })
}

/// Reads and locks `spin.toml` at the root.
pub(crate) fn read_manifest(root: &Root) -> Result<ManifestApp, OciError> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => OciError::NoManifest,
        _ => OciError::file("spin.toml", error),
    };
    let mut bytes = Vec::new();
    let file = root.open_file("spin.toml").map_err(failed)?;
    file.take(MAX_MANIFEST_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > MAX_MANIFEST_BYTES {
        return Err(AppError::TooLarge { what: "spin.toml", size: bytes.len(), limit: MAX_MANIFEST_BYTES }.into());
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        AppError::Manifest { line, column: 1, message: "this line is not UTF-8".to_owned() }
    })?;
    Ok(lock_manifest(&text)?)
}

/// The wasm of a component, by the path in its source.
pub(crate) fn wasm(root: &Root, component: &LockedComponent, known: &dyn KnownDigests) -> Result<Wasm, OciError> {
    let Some(path) = &component.source.content.source else {
        return Err(OciError::NoSource { component: component.id.clone(), reason: "its source is not a file" });
    };
    let file = root.open_file(plain(path)).map_err(|error| OciError::Wasm {
        component: component.id.clone(),
        path: path.clone(),
        error,
    })?;
    Wasm::of_file(&component.id, path, file, known)
}

fn mount(root: &Root, component: &str, patterns: &FilePatterns) -> Result<Files, OciError> {
    if let [FileMount::Placement { source, destination }] = patterns.mounts.as_slice()
        && patterns.exclude.is_empty()
        && destination.trim_matches('/').is_empty()
        && let Ok(directory) = root.open_directory(plain(source))
    {
        return Ok(Files::Directory(directory));
    }
    let tree = tree(root, component, patterns)?;
    Ok(if tree.is_empty() { Files::None } else { Files::Tree(tree) })
}

/// Finds and hashes the files of a component.
pub(crate) fn tree(root: &Root, component: &str, patterns: &FilePatterns) -> Result<FileTree, OciError> {
    let (mut tree, mut left) = (FileTree::default(), MAX_TREE_BYTES);
    for file in resolve(root, component, patterns)? {
        let opened = root.open_file(&file.source).map_err(|error| OciError::file(&file.source, error))?;
        let (digest, size) = Digest::of_reader(opened, left).map_err(|error| OciError::file(&file.source, error))?;
        left -= size;
        tree.insert(component, &file.path, digest, Source::File(root.clone(), file.source))?;
    }
    Ok(tree)
}
