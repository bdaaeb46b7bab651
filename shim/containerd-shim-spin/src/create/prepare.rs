//! Makes a Spin app ready to run: reads it, finds or makes its code, and opens everything it needs, for the process inside.
//!
//! What fails here is no failure of creating the container: it becomes a plan that says so, because an app's fault has to be told on
//! the container's own stderr.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use oci_spec::runtime::Spec;
use spin_app::retain;
use spin_oci::{Files, LoadedApp, Wasm};
use spin_runtime::cache::{Cache, FindError};

use super::classify::Command;
use super::content::ContentStore;
use super::files::Trees;
use super::notes::Notes;
use super::snapshot::Snapshot;
use crate::bundle::{Mount, TaskRequest};
use crate::plan::{Failure, Outcome, Plan, Run};
use crate::{precompile, sys};

/// Everything of ours on the node that outlives a pod.
const NODE_CACHE: &str = "/var/cache/containerd-shim-spin";
/// How long it keeps what nobody uses, and how many bytes of code at most.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
const MOST_CODE: u64 = 8 << 30;
/// A comma-separated list: run these components and leave the others.
const RETAIN: &str = "SPIN_COMPONENTS_TO_RETAIN";

/// Where the app is.
pub enum Source {
    /// In the container's root file system, which these mounts make.
    Root(OwnedFd, Vec<Mount>),
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
    let cache = open_cache()?;
    let LoadedApp { mut app, mut components, mut files } = match &source {
        Source::Root(root, mounts) => spin_oci::load_rootfs(root.as_fd(), &Snapshot::new(digests(), mounts)),
        Source::Artifact { manifest, store } => spin_oci::load_artifact(manifest, std::sync::Arc::new(store.clone())),
    }
    .map_err(|error| Failure::new(u8::try_from(error.exit_code()).unwrap_or(Failure::INTERNAL), error))?;
    if let Some(list) = variable(spec, RETAIN) {
        let ids: Vec<&str> = retain::component_ids(list).collect();
        retain::retain_components(&mut app, &ids).map_err(|error| Failure::new(Failure::CONFIGURATION, error))?;
    }
    let trees = Trees::at(Path::new(NODE_CACHE).join("files"));
    let mut compiled = false;
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
        let file = precompiled(&cache, id, &wasm, &mut compiled)?;
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
    if compiled {
        // Something is new on this node, so something may be old.
        trees.prune(KEPT);
        digests().prune(KEPT);
        blobs().prune(KEPT);
        let _next_time = cache.prune(MOST_CODE, KEPT);
    }
    let (memory_limit, cpus) = limits(spec);
    Ok(Run { app, code, files: directories, memory_limit, cpus })
}

/// The cache, whose directories may not be there on a node whose system is nothing but k3s.
fn open_cache() -> std::result::Result<Cache, Failure> {
    let dir = PathBuf::from(NODE_CACHE);
    dir.parent().map_or(Ok(()), fs::create_dir_all).map_err(Failure::internal("making the node's cache"))?;
    Cache::open(&dir).map_err(|error| Failure::new(Failure::INTERNAL, error))
}

/// The digests of plain images' components.
fn digests() -> Notes {
    Notes::at(Path::new(NODE_CACHE).join("digests"))
}

/// The small blobs of artifacts.
fn blobs() -> Notes {
    Notes::at(Path::new(NODE_CACHE).join("blobs"))
}

fn precompiled(cache: &Cache, id: &str, wasm: &Wasm, compiled: &mut bool) -> std::result::Result<File, Failure> {
    let found = cache.find_or(wasm.digest.as_str(), |target| {
        let bytes =
            wasm.read().map_err(|error| Failure::new(u8::try_from(error.exit_code()).unwrap_or(Failure::INTERNAL), error))?;
        *compiled = true;
        precompile::in_a_child(&bytes, target)
    });
    found.map_err(|error| match error {
        FindError::Cache(error) => Failure::new(Failure::INTERNAL, error),
        FindError::Compile(failure) => Failure::new(failure.code, format!("component {id:?}: {}", failure.message)),
    })
}

/// A directory as the guest gets it: read-only, and no way leads out of it.
fn closed_off(directory: BorrowedFd<'_>) -> std::result::Result<OwnedFd, Failure> {
    sys::detached_read_only(directory, Path::new("")).map_err(Failure::internal("closing off the directory of files"))
}

fn variable<'a>(spec: &'a Spec, name: &str) -> Option<&'a str> {
    let env = spec.process().as_ref()?.env().as_deref()?;
    env.iter().find_map(|variable| variable.strip_prefix(name)?.strip_prefix('=')).filter(|value| !value.is_empty())
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
