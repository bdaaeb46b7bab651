//! Key-value stores: each known by a label, listed by the component that may open it.
//!
//! `default` always exists; others are configured in runtime-config.toml.

mod interface;
mod redis;
mod sqlite;
mod wasi;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use spin_app::LockedComponent;
use wasmtime::component::Linker;

use super::HostState;
use super::redis::Servers;
use crate::RuntimeError;
use crate::config::{KeyValueStore, not_yet};

/// Bytes that one call may bring into this process at once.
const MAX_BYTES: usize = 128 << 20;
/// Bytes of the store in memory, where the container has no memory limit.
const MAX_MEMORY_BYTES: u64 = 128 << 20;
/// The label of the store that always exists.
const DEFAULT: &str = "default";
/// The file of the default store, in the state directory.
const DEFAULT_FILE: &str = "sqlite_key_value.db";

/// The stores a component may open, by label.
pub(crate) type Stores = BTreeMap<String, Arc<dyn Store>>;

/// A store's failure, in words; no address and no secret in them.
#[derive(Clone, Debug)]
pub(crate) struct Failure(String);

impl Failure {
    fn too_big() -> Self {
        Self(format!("more than {} MiB at once", MAX_BYTES >> 20))
    }
}

/// Bytes of the values that an instance keeps for compare-and-swap, at most [`MAX_BYTES`].
#[derive(Debug, Default)]
pub(crate) struct CasBytes(usize);

impl CasBytes {
    fn add(&mut self, bytes: usize) -> Result<(), Failure> {
        let sum = self.0.saturating_add(bytes);
        if sum > MAX_BYTES {
            return Err(Failure::too_big());
        }
        self.0 = sum;
        Ok(())
    }

    fn remove(&mut self, bytes: usize) {
        self.0 -= bytes;
    }
}

/// Bytes that a key takes in a list of keys.
fn key_size(key: &str) -> usize {
    size_of::<String>() + key.len()
}

/// Bytes that stores in memory may take: an eighth of the container's memory limit, at most
/// [`MAX_MEMORY_BYTES`].
fn max_memory(limit: Option<u64>) -> u64 {
    limit.map_or(MAX_MEMORY_BYTES, |limit| (limit / 8).min(MAX_MEMORY_BYTES))
}

/// One store, wherever it keeps its data.
#[async_trait]
pub(crate) trait Store: Send + Sync {
    async fn get(&self, key: String) -> Result<Option<Vec<u8>>, Failure>;
    async fn set(&self, key: String, value: Vec<u8>) -> Result<(), Failure>;
    async fn delete(&self, key: String) -> Result<(), Failure>;
    async fn exists(&self, key: String) -> Result<bool, Failure>;
    async fn keys(&self) -> Result<Vec<String>, Failure>;
    /// Adds to a number written in decimal digits (0 where there is none) and returns the sum.
    async fn increment(&self, key: String, delta: i64) -> Result<i64, Failure>;
    /// Replaces a value if it is still `old`; false: it is not.
    async fn swap(&self, key: String, old: Option<Vec<u8>>, new: Vec<u8>) -> Result<bool, Failure>;
    /// The file that keeps its data, if it is one.
    fn file(&self) -> Option<&Path> {
        None
    }
}

/// All stores of the app. `memory_limit`: the container's, in bytes.
pub(crate) fn open(
    configured: &BTreeMap<String, KeyValueStore>,
    state_dir: Option<&Path>,
    servers: &Servers,
    memory_limit: Option<u64>,
) -> Result<Stores, RuntimeError> {
    let max_memory = max_memory(memory_limit);
    let mut files = BTreeMap::new();
    let mut database =
        |path: Option<PathBuf>| files.entry(path.clone()).or_insert_with(|| sqlite::Database::new(path, max_memory)).clone();
    let mut stores = Stores::new();
    if !configured.contains_key(DEFAULT) {
        stores.insert(DEFAULT.to_owned(), Arc::new(database(file(None, state_dir)).store(DEFAULT)));
    }
    for (label, store) in configured {
        let store: Arc<dyn Store> = match store {
            KeyValueStore::Spin { path } => Arc::new(database(file(path.as_deref(), state_dir)).store(label)),
            KeyValueStore::Redis { url } => Arc::new(redis::RedisStore::new(servers, label, url)?),
            KeyValueStore::AzureCosmos(_) => return Err(not_yet("a key-value store of type \"azure_cosmos\"")),
            KeyValueStore::AwsDynamo(_) => return Err(not_yet("a key-value store of type \"aws_dynamo\"")),
        };
        stores.insert(label.clone(), store);
    }
    Ok(stores)
}

/// The file of a store with this path in its configuration; none: in memory.
fn file(path: Option<&Path>, state_dir: Option<&Path>) -> Option<PathBuf> {
    match (path, state_dir) {
        (Some(path), Some(dir)) => Some(dir.join(path)),
        (Some(path), None) => Some(path.to_owned()),
        (None, dir) => dir.map(|dir| dir.join(DEFAULT_FILE)),
    }
}

/// The directories of the files in which these components' stores keep their data. SQLite makes further files beside each.
pub(crate) fn directories<'a>(
    components: impl Iterator<Item = &'a LockedComponent>,
    configured: &BTreeMap<String, KeyValueStore>,
    state_dir: Option<&Path>,
) -> BTreeSet<PathBuf> {
    let labels: BTreeSet<String> = components.flat_map(LockedComponent::key_value_stores).collect();
    let files = labels.iter().filter_map(|label| match configured.get(label) {
        Some(KeyValueStore::Spin { path }) => file(path.as_deref(), state_dir),
        None if label == DEFAULT => file(None, state_dir),
        _ => None,
    });
    files.map(|file| Path::new("/").join(file.parent().unwrap_or(&file))).collect()
}

/// Those of them the component may open. Fails where the file of one can't be written.
pub(crate) fn of_component(stores: &Stores, component: &LockedComponent) -> Result<Stores, RuntimeError> {
    let find = |label: String| {
        let Some(store) = stores.get(&label) else {
            return Err(RuntimeError::UnknownStore { component: component.id.clone(), label });
        };
        if let Some(file) = store.file() {
            sqlite::check_writable(file).map_err(|(path, source)| RuntimeError::Store {
                component: component.id.clone(),
                label: label.clone(),
                user: rustix::process::geteuid().as_raw(),
                path,
                source,
            })?;
        }
        Ok((label, store.clone()))
    };
    component.key_value_stores().into_iter().map(find).collect()
}

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    interface::link(linker)?;
    wasi::link(linker)
}

pub(super) fn link_async(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    interface::link_async(linker)
}

mod bindings {
    #![allow(missing_docs, reason = "generated code")]

    wasmtime::component::bindgen!({
        path: "wit",
        world: "shim:host/key-value",
        imports: { default: async | trappable },
        with: {
            "fermyon:spin/key-value.store": super::Opened,
            "spin:key-value/key-value.store": super::Opened,
            "wasi:keyvalue/store.bucket": super::Opened,
            "wasi:keyvalue/atomics.cas": super::wasi::Cas,
        },
    });
}

/// A store a guest has opened.
#[derive(Clone)]
pub struct Opened(Arc<dyn Store>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_kept_for_compare_and_swap_are_bounded_together() {
        let mut kept = CasBytes::default();
        kept.add(MAX_BYTES / 2).unwrap();
        kept.add(MAX_BYTES / 2).unwrap();
        assert_eq!(kept.add(1).unwrap_err().0, "more than 128 MiB at once");
        kept.remove(MAX_BYTES / 2);
        kept.add(1).unwrap();
    }

    #[test]
    fn memory_for_stores_follows_the_containers_limit() {
        assert_eq!(max_memory(None), 128 << 20);
        assert_eq!(max_memory(Some(64 << 20)), 8 << 20);
        assert_eq!(max_memory(Some(4 << 30)), 128 << 20);
    }
}
