//! Idmapped mounts: the files on them belong to other users than on the disk.
//!
//! A container with users of its own needs them for its root file system and its volumes, whose
//! files belong to users of the node. Linux has them since 5.12, for layers of an overlay since
//! 5.19, for tmpfs since 6.3.
//!
//! libcontainer makes none. The helper therefore mounts a view of each volume in the bundle, and the
//! spec gets the place of the view as the volume's source. Such mounts are made only in the helper's
//! own mount namespace: containerd removes the bundle with all that the node sees in it.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, ensure};
use oci_spec::runtime::{Mount, Spec};
use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::classify::is_bind;
use super::users::{IdMap, Namespaces, has_user_namespace};
use crate::bundle;
use crate::sys;

/// Mounts an idmapped view of the layers of an overlay, and puts the places of the layers in this
/// view into the options of the overlay.
pub fn map_layers(bundle: &Path, map: &IdMap, options: &mut [String], namespaces: &mut Namespaces) -> Result<()> {
    const OPTION: &str = "lowerdir=";
    let option = options.iter_mut().find(|option| option.starts_with(OPTION)).context("the overlay has no layers")?;
    let layers: Vec<&Path> = option[OPTION.len()..].split(':').map(Path::new).collect();
    let parent = common_parent(&layers).context("the layers are in no common directory but the root")?;
    let place = make_place(bundle, "layers", true)?;
    // A snapshotter may have mounted each layer in its place.
    let view = clone_mount(&parent, true)?;
    map_ids(&view, namespaces.of(map), true, &parent)?;
    attach(&view, &place)?;
    let moved = layers.iter().map(|layer| Ok(place.join(layer.strip_prefix(&parent)?).display().to_string()));
    *option = format!("{OPTION}{}", moved.collect::<Result<Vec<_>>>()?.join(":"));
    Ok(())
}

/// The deepest directory that all of these lie in; `None` where that is the root.
fn common_parent(paths: &[&Path]) -> Option<PathBuf> {
    let holds_all =
        |directory: &&Path| paths.iter().all(|path| path.parent().is_some_and(|parent| parent.starts_with(directory)));
    let common = paths.first()?.parent()?.ancestors().find(holds_all)?;
    let is_root = !common.components().any(|part| matches!(part, Component::Normal(_)));
    (!is_root).then(|| common.to_owned())
}

/// Mounts an idmapped view of a root file system that is no overlay over it.
///
/// An image without layers, such as a Spin artifact, has an empty directory as its root file system,
/// which the snapshotter gives to the container's root user. It needs no map.
pub fn map_root(map: &IdMap, root: &Path, namespaces: &mut Namespaces) -> Result<()> {
    let about = fs::metadata(root).with_context(|| format!("reading the owner of {}", root.display()))?;
    if (about.uid(), about.gid()) == map.on_node(0, 0) {
        return Ok(());
    }
    let view = clone_mount(root, false)?;
    map_ids(&view, namespaces.of(map), false, root)?;
    attach(&view, root)
}

/// Mounts views of volumes in the bundle, with the owners that the spec asks for, and puts their
/// places into the spec as the sources of the volumes. With a user namespace all volumes get a view,
/// because their sources, such as the kubelet's directories, may be closed to the container's users.
///
/// `is_private` tells whether this process has a mount namespace of its own.
pub fn mount_volumes(bundle: &Path, spec: &mut Spec, is_private: bool, namespaces: &mut Namespaces) -> Result<()> {
    let containers = IdMap::of_container(spec);
    let has_users = has_user_namespace(spec);
    for (number, mount) in spec.mounts_mut().iter_mut().flatten().enumerate() {
        let destination = mount.destination().display().to_string();
        let failed = || format!("mounting {destination}");
        let volume = Volume::of(mount, containers.as_ref()).with_context(failed)?;
        if volume.map.is_some() || (has_users && is_bind(mount)) {
            ensure!(is_private, "{destination} can't be idmapped in a container that shares its mounts with the node");
            let place = volume.mount(bundle, &number.to_string(), namespaces).with_context(failed)?;
            let options = mount.options().iter().flatten().filter(|option| !MAP_OPTIONS.contains(&option.as_str()));
            let options = options.cloned().collect();
            mount.set_options(Some(options)).set_source(Some(place)).set_uid_mappings(None).set_gid_mappings(None);
        }
    }
    Ok(())
}

/// The options by which a mount is idmapped, alone or with the mounts below it.
const MAP_OPTIONS: [&str; 2] = ["idmap", "ridmap"];

/// A volume as the spec describes it.
struct Volume {
    source: PathBuf,
    /// Whether mounts below the source are part of the volume.
    is_recursive: bool,
    map: Option<IdMap>,
    maps_recursively: bool,
}

impl Volume {
    /// A mount that is asked to be idmapped has its own map, or that of the container.
    fn of(mount: &Mount, containers: Option<&IdMap>) -> Result<Self> {
        let has = |wanted: &str| mount.options().iter().flatten().any(|option| option == wanted);
        let own = IdMap::of_mount(mount)?;
        let is_asked = MAP_OPTIONS.into_iter().any(has);
        let map = own.or_else(|| containers.cloned().filter(|_| is_asked));
        ensure!(map.is_some() || !is_asked, "idmapping it needs a map of users and groups");
        ensure!(map.is_none() || is_bind(mount), "only a directory or a file of the node can be idmapped");
        Ok(Self {
            source: mount.source().clone().unwrap_or_default(),
            is_recursive: has("rbind"),
            map,
            maps_recursively: has("ridmap"),
        })
    }

    /// Mounts a view of the volume in the bundle. Returns its place.
    fn mount(&self, bundle: &Path, name: &str, namespaces: &mut Namespaces) -> Result<PathBuf> {
        let source = fs::canonicalize(&self.source).with_context(|| format!("opening {}", self.source.display()))?;
        let place = make_place(bundle, name, source.is_dir())?;
        let view = clone_mount(&source, self.is_recursive)?;
        if let Some(map) = &self.map {
            map_ids(&view, namespaces.of(map), self.maps_recursively, &source)?;
        }
        attach(&view, &place)?;
        Ok(place)
    }
}

/// Makes a directory, or a file, to mount on. The container's users can reach it.
fn make_place(bundle: &Path, name: &str, is_directory: bool) -> Result<PathBuf> {
    let directory = bundle::mounts_dir(bundle);
    let place = directory.join(name);
    let made = DirBuilder::new().recursive(true).mode(0o711).create(&directory).and_then(|()| match is_directory {
        true => DirBuilder::new().recursive(true).create(&place),
        false => File::create(&place).map(drop),
    });
    made.with_context(|| format!("making {}", place.display()))?;
    Ok(place)
}

/// A mount of a directory or a file that is attached nowhere; with `recursive` also of all that is
/// mounted below it.
fn clone_mount(source: &Path, recursive: bool) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(CWD, source, flags).with_context(|| format!("cloning the mount of {}", source.display()))
}

/// Idmaps a view of `source`; with `recursive` also what is mounted below it.
fn map_ids(view: &OwnedFd, namespace: io::Result<&File>, recursive: bool, source: &Path) -> Result<()> {
    let namespace = namespace.context("making a user namespace for a mount")?;
    let failed = || format!("idmapping a mount of {}, whose file system may not support it", source.display());
    sys::map_ids(view.as_fd(), namespace.as_fd(), recursive).with_context(failed)
}

fn attach(view: &OwnedFd, place: &Path) -> Result<()> {
    let attached = move_mount(view, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH);
    attached.with_context(|| format!("mounting on {}", place.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn common_parent_of_layers_is_made_of_whole_names() {
        let common = |paths: &[&str]| common_parent(&paths.iter().map(Path::new).collect::<Vec<_>>());
        assert_eq!(common(&["/s/snapshots/12/fs", "/s/snapshots/1/fs"]), Some("/s/snapshots".into()));
        assert_eq!(common(&["/s/1/fs"]), Some("/s/1".into()));
        assert_eq!(common(&["/a/fs", "/b/fs"]), None);
    }

    /// Why a mount with these fields besides can't be made, in a container with the node's users.
    fn refusal(fields: Value) -> String {
        let mut mount = json!({ "destination": "/data", "type": "bind", "source": "/tmp" });
        mount.as_object_mut().expect("fields").extend(fields.as_object().expect("fields").clone());
        let mut spec = serde_json::from_value(json!({ "ociVersion": "1.1.0", "mounts": [mount] })).expect("a spec");
        let refused = mount_volumes(Path::new("/nowhere"), &mut spec, false, &mut Namespaces::default());
        format!("{:#}", refused.expect_err("it can't be made"))
    }

    #[test]
    fn mount_that_cannot_be_idmapped_is_refused_with_the_reason() {
        let map = json!([{ "containerID": 0, "hostID": 1000, "size": 1 }]);
        assert!(refusal(json!({ "options": ["ridmap"] })).contains("needs a map"));
        assert!(refusal(json!({ "uidMappings": map })).contains("users and groups, or neither"));
        let both = json!({ "uidMappings": map, "gidMappings": map });
        assert!(refusal(both).contains("shares its mounts"));
        let tmpfs = json!({ "type": "tmpfs", "uidMappings": map, "gidMappings": map });
        assert!(refusal(tmpfs).contains("only a directory or a file"));
    }
}
