//! Makes a Spin app ready to run: reads it, finds or makes its code, and opens everything it needs, for the process inside.
//!
//! What fails here is no failure of creating the container: it becomes a plan that says so, because an app's fault has to be told on
//! the container's own stderr.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use oci_spec::runtime::{Mount, Spec};
use spin_app::retain;
use spin_oci::{Files, LoadedApp, Wasm};
use spin_runtime::cache::{Bounds, Cache, CacheError, FindError, unused};

use super::classify::{Command, is_bind};
use super::content::ContentStore;
use super::files::Trees;
use super::notes::Notes;
use super::snapshot::Snapshot;
use crate::bundle::{self, TaskRequest};
use crate::plan::{Failure, Outcome, Plan, Run};
use crate::{precompile, sys};

/// Everything of ours on the node that outlives a pod.
const NODE_CACHE: &str = "/var/cache/containerd-shim-spin";
/// How long it keeps what nobody uses.
pub(super) const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);
/// What it keeps of code, and of small notes of each kind; of files, see [`Trees`].
const CODE_BOUNDS: Bounds = Bounds { bytes: 8 << 30, files: 20_000, age: MAX_AGE };
const NOTE_BOUNDS: Bounds = Bounds { bytes: 256 << 20, files: 50_000, age: MAX_AGE };
/// The shortest time between two enforcements of the bounds: each one looks at every file of the cache.
const PRUNE_INTERVAL: Duration = Duration::from_secs(600);
/// The longest part of an ignored command that the log shows.
const MAX_COMMAND_CHARS: usize = 100;
/// A comma-separated list: run these components and leave the others.
const RETAIN: &str = "SPIN_COMPONENTS_TO_RETAIN";

/// Where the app is.
pub enum Source {
    /// In the container's root file system, which these mounts make.
    Root(OwnedFd, Vec<bundle::Mount>),
    /// In containerd's content store.
    Artifact {
        /// The image's manifest.
        manifest: Vec<u8>,
        /// Where its layers are.
        store: ContentStore,
    },
}

/// The plan, to run it or why not, and the descriptors that it tells of.
pub struct Prepared {
    /// For the app's process.
    pub plan: Plan,
    /// To be open in it.
    pub descriptors: Vec<OwnedFd>,
}

/// Prepares the app, or the report of why it can't run.
pub fn prepare(source: Source, spec: &Spec) -> Prepared {
    let mut descriptors = Vec::new();
    let outcome = match try_prepare(source, spec, &mut descriptors) {
        Ok(run) => Outcome::Run(Box::new(run)),
        Err(failure) => Outcome::Failed(failure),
    };
    prepared(outcome, descriptors, spec)
}

/// Prepares the app of the container's image if that is an artifact. Fails if it is none: then the container's command, which can't be executed, is all
/// that it has.
pub fn artifact(request: &TaskRequest, command: &Command, spec: &Spec) -> Result<Prepared> {
    let found = ContentStore::connect(request, blobs())
        .and_then(|store| Ok(store.artifact_of(&request.id)?.map(|manifest| (manifest, store))));
    match found {
        Ok(Some((manifest, store))) => Ok(prepare(Source::Artifact { manifest, store }, spec)),
        Ok(None) => bail!(
            "exec: {:?}: {}; nor is the image a Spin app: it has no spin.toml at its root, and no Spin or wasm layers",
            command.name,
            command.problem
        ),
        Err(error) => {
            let failure = Failure::new(Failure::CONTENT, format!("the image can't be looked up: {error:#}"));
            Ok(prepared(Outcome::Failed(failure), Vec::new(), spec))
        }
    }
}

fn prepared(outcome: Outcome, descriptors: Vec<OwnedFd>, spec: &Spec) -> Prepared {
    Prepared { plan: Plan { outcome, termination_log: termination_log(spec) }, descriptors }
}

fn try_prepare(source: Source, spec: &Spec, descriptors: &mut Vec<OwnedFd>) -> std::result::Result<Run, Failure> {
    let volumes = volumes(spec);
    let LoadedApp { mut app, mut components, mut files, volumes: volume_directories } = match &source {
        Source::Root(root, mounts) => {
            let paths: Vec<String> = volumes.iter().filter_map(|path| path.to_str().map(str::to_owned)).collect();
            spin_oci::load_rootfs(root.as_fd(), &Snapshot::new(digests(), mounts), &paths)
        }
        Source::Artifact { manifest, store } => spin_oci::load_artifact(manifest, std::sync::Arc::new(store.clone())),
    }
    .map_err(|error| Failure::new(u8::try_from(error.exit_code()).unwrap_or(Failure::INTERNAL), error))?;
    let env = environment(spec);
    if let Some(list) = env.get(RETAIN).filter(|list| !list.is_empty()) {
        let ids: Vec<&str> = retain::component_ids(list).collect();
        retain::retain_components(&mut app, &ids).map_err(|error| Failure::new(Failure::CONFIGURATION, error))?;
    }
    let cache = open_cache()?;
    let mut trees = trees();
    let mut keep = |fd: OwnedFd| -> usize {
        descriptors.push(fd);
        descriptors.len() - 1
    };
    let (mut code, mut directories) = (BTreeMap::new(), BTreeMap::new());
    for component in &mut app.components {
        // The app gets the directory, however many files are in it.
        component.files.clear();
        let id = &component.id;
        let missing = || Failure::new(Failure::INTERNAL, format!("component {id:?} was not loaded"));
        let wasm = components.remove(id).ok_or_else(missing)?;
        let file = precompiled(cache.as_ref(), id, &wasm)?;
        // The app's process never has the file as the node has it: other pods execute it too.
        let file = sys::reopen_read_only(&file).map_err(Failure::internal("opening precompiled code"))?;
        code.insert(id.clone(), keep(file.into()));
        let directory = match files.remove(id).unwrap_or(Files::None) {
            Files::None => continue,
            Files::Directory(directory) => closed_off(directory.as_fd())?,
            Files::Tree(tree) => {
                let in_use =
                    trees.take(&tree).map_err(|error| Failure::new(Failure::CONTENT, format!("component {id:?}: {error}")))?;
                keep(in_use.lock);
                in_use.closed_off
            }
        };
        directories.insert(id.clone(), keep(directory));
    }
    let (memory_limit, cpus) = limits(spec);
    let ignored_command = ignored_command(spec);
    Ok(Run { app, code, files: directories, memory_limit, cpus, env, volumes, volume_directories, ignored_command })
}

/// Enforces the bounds of the node's cache, unless that was done lately.
pub fn prune_cache() -> io::Result<()> {
    let stamp = Path::new(NODE_CACHE).join("pruned");
    match fs::metadata(&stamp) {
        Ok(about) if unused(&about) < PRUNE_INTERVAL => return Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => fs::write(&stamp, "")?,
    }
    trees().prune();
    digests().prune(&NOTE_BOUNDS);
    blobs().prune(&NOTE_BOUNDS);
    Cache::open(Path::new(NODE_CACHE)).and_then(|cache| cache.prune(&CODE_BOUNDS)).map(|_freed| ()).map_err(io::Error::other)
}

/// The cache, whose directories may not be there on a node whose system is nothing but k3s. `None` where the disk is full or read-only.
fn open_cache() -> std::result::Result<Option<Cache>, Failure> {
    let dir = PathBuf::from(NODE_CACHE);
    // A failure is reported by what follows.
    let _is_there = dir.parent().map(fs::create_dir_all);
    match Cache::open(&dir) {
        Ok(cache) => Ok(Some(cache)),
        Err(error @ CacheError::Io { .. }) => {
            log::warn!("precompiled code can't be kept for the next start: {error}");
            Ok(None)
        }
        Err(error) => Err(Failure::new(Failure::INTERNAL, error)),
    }
}

fn trees() -> Trees {
    Trees::at(Path::new(NODE_CACHE).join("files"))
}

/// The digests of plain images' components.
fn digests() -> Notes {
    Notes::at(Path::new(NODE_CACHE).join("digests"))
}

/// The small blobs of artifacts.
fn blobs() -> Notes {
    Notes::at(Path::new(NODE_CACHE).join("blobs"))
}

fn precompiled(cache: Option<&Cache>, id: &str, wasm: &Wasm) -> std::result::Result<File, Failure> {
    let compile = || {
        let bytes =
            wasm.read().map_err(|error| Failure::new(u8::try_from(error.exit_code()).unwrap_or(Failure::INTERNAL), error))?;
        precompile::in_a_child(&bytes)
    };
    let found = match cache {
        Some(cache) => cache.find_or(wasm.digest.as_str(), compile),
        None => compile().map_err(FindError::Compile),
    };
    found.map_err(|error| match error {
        FindError::Cache(error) => Failure::new(Failure::INTERNAL, error),
        FindError::Compile(failure) => Failure::new(failure.code, format!("component {id:?}: {}", failure.message)),
    })
}

/// A directory as the guest gets it: read-only, and no way leads out of it.
fn closed_off(directory: BorrowedFd<'_>) -> std::result::Result<OwnedFd, Failure> {
    sys::detached_read_only(directory, Path::new("")).map_err(Failure::internal("closing off the directory of files"))
}

/// The container's environment. Where a variable has several values, the last one counts, as for any other container.
fn environment(spec: &Spec) -> BTreeMap<String, String> {
    let variables = spec.process().iter().flat_map(|process| process.env().iter().flatten());
    variables.filter_map(|variable| variable.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The first word of the container's command, unless the command is one that Spin images have because containerd wants some:
/// no word, or a single one that names the app's root, its manifest or its wasm.
fn ignored_command(spec: &Spec) -> Option<String> {
    let is_of_spin = |word: &str| matches!(word, "" | "." | "/" | "spin.toml" | "/spin.toml") || word.ends_with(".wasm");
    let args = spec.process().as_ref()?.args().as_deref()?;
    match args {
        [] => None,
        [word] if is_of_spin(word) => None,
        // Not the others: they may hold secrets.
        [first, ..] => Some(first.chars().take(MAX_COMMAND_CHARS).collect()),
    }
}

/// Where the pod has mounted volumes: directories and files of the node. A volume that CRI made because the image declares it
/// (`VOLUME`) has the image's files, so it is none of the pod's; its directory is `containers/ID/volumes/VOLUME` below CRI's.
fn volumes(spec: &Spec) -> Vec<PathBuf> {
    let is_of_the_image = |mount: &Mount| {
        let parent = mount.source().as_ref().and_then(|source| source.parent());
        parent.is_some_and(|parent| {
            parent.ends_with("volumes") && parent.iter().rev().nth(2).is_some_and(|name| name == "containers")
        })
    };
    let is_volume = |mount: &&Mount| is_bind(mount) && !is_of_the_image(mount);
    spec.mounts().iter().flatten().filter(is_volume).map(|mount| mount.destination().clone()).collect()
}

/// The file that the kubelet reads a container's last words from: it mounts one of its own wherever the pod wants it.
fn termination_log(spec: &Spec) -> PathBuf {
    let annotations = spec.annotations().as_ref();
    let name = annotations.and_then(|all| all.get("io.kubernetes.cri.container-name"));
    let directory = name.map(|name| Path::new("containers").join(name));
    let found = spec.mounts().iter().flatten().find(|mount| {
        let parent = mount.source().as_ref().and_then(|source| source.parent());
        parent.zip(directory.as_ref()).is_some_and(|(parent, directory)| parent.ends_with(directory))
    });
    found.map_or_else(|| PathBuf::from("/dev/termination-log"), |mount| mount.destination().clone())
}

/// The container's limit of memory in bytes, and how many processors its quota amounts to.
pub fn limits(spec: &Spec) -> (Option<u64>, Option<f64>) {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let memory = resources.and_then(|all| all.memory().as_ref()?.limit()).and_then(|limit| u64::try_from(limit).ok());
    let cpu = resources.and_then(|all| all.cpu().as_ref());
    let quota = cpu.and_then(|cpu| cpu.quota()).filter(|&quota| quota > 0);
    let period = cpu.and_then(|cpu| cpu.period()).filter(|&period| period > 0).unwrap_or(100_000);
    (memory.filter(|&limit| limit > 0), quota.map(|quota| quota as f64 / period as f64))
}
