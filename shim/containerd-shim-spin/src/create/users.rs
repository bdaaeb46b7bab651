//! The users of a container: the map of its ids to those of the node, and its user namespace.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, bail, ensure};
use oci_spec::runtime::{LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespace, LinuxNamespaceType, Mount, Spec, User};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::sys::{self, Fork};

/// A map of the ids of users and groups in a container to ids on the node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IdMap {
    users: Vec<LinuxIdMapping>,
    groups: Vec<LinuxIdMapping>,
}

impl IdMap {
    /// The map of the container's user namespace; `None` where it has the node's users.
    pub fn of_container(spec: &Spec) -> Option<Self> {
        let linux = spec.linux().as_ref().filter(|_| has_user_namespace(spec))?;
        Self::of_both(linux.uid_mappings(), linux.gid_mappings())
    }

    /// The map that a mount has itself.
    pub fn of_mount(mount: &Mount) -> Result<Option<Self>> {
        let map = Self::of_both(mount.uid_mappings(), mount.gid_mappings());
        let is_empty = mount.uid_mappings().is_none() && mount.gid_mappings().is_none();
        ensure!(map.is_some() || is_empty, "a mount must map users and groups, or neither");
        Ok(map)
    }

    fn of_both(users: &Option<Vec<LinuxIdMapping>>, groups: &Option<Vec<LinuxIdMapping>>) -> Option<Self> {
        let present = |map: &Option<Vec<LinuxIdMapping>>| map.clone().filter(|map| !map.is_empty());
        Some(Self { users: present(users)?, groups: present(groups)? })
    }

    /// Takes the map out of the options of a mount of the root file system, to which containerd adds
    /// `uidmap=` and `gidmap=`.
    pub fn take_from(options: &mut Vec<String>) -> Result<Option<Self>> {
        let mut take = |name: &str| {
            let at = options.iter().position(|option| option.starts_with(name))?;
            Some(parse(&options.remove(at)[name.len()..]))
        };
        match (take("uidmap=").transpose()?, take("gidmap=").transpose()?) {
            (None, None) => Ok(None),
            (Some(users), Some(groups)) => Ok(Some(Self { users, groups })),
            _ => bail!("the root file system must map users and groups, or neither"),
        }
    }

    /// The ids that a user and a group of the container have on the node. An id that the container
    /// does not have stays as it is.
    pub fn on_node(&self, uid: u32, gid: u32) -> (u32, u32) {
        let on_node = |map: &[LinuxIdMapping], id: u32| {
            let offset = |range: &LinuxIdMapping| id.checked_sub(range.container_id()).filter(|offset| *offset < range.size());
            map.iter().find_map(|range| range.host_id().checked_add(offset(range)?)).unwrap_or(id)
        };
        (on_node(&self.users, uid), on_node(&self.groups, gid))
    }

    fn has_root(&self) -> bool {
        [&self.users, &self.groups].into_iter().all(|map| map.iter().any(|range| range.container_id() == 0))
    }

    /// Makes a user namespace with this map, which has no process.
    ///
    /// Root writes the map itself, with any number of ranges: `newuidmap` is for other users.
    pub fn make_namespace(&self) -> io::Result<File> {
        let (mut unshared, mut child_end) = io::pipe()?;
        let (mut opened, parent_end) = io::pipe()?;
        match sys::fork_dependent()? {
            Fork::Child => {
                drop((unshared, parent_end));
                // SAFETY: this process has one thread.
                if unsafe { unshare_unsafe(UnshareFlags::NEWUSER) }.is_ok() {
                    let _parent_has_ended = child_end.write_all(&[0]);
                    // The namespace must last until the parent has opened it and closes the pipe.
                    let _end = opened.read(&mut [0]);
                }
                sys::vanish()
            }
            Fork::Parent(pid) => {
                drop((child_end, opened));
                if unshared.read(&mut [0])? == 0 {
                    // For example because of the limit in /proc/sys/user/max_user_namespaces.
                    return Err(io::Error::other("no further user namespace may be made"));
                }
                fs::write(format!("/proc/{pid}/uid_map"), lines(&self.users))?;
                fs::write(format!("/proc/{pid}/gid_map"), lines(&self.groups))?;
                let namespace = File::open(format!("/proc/{pid}/ns/user"))?;
                drop(parent_end);
                Ok(namespace)
            }
        }
    }
}

/// User namespaces that idmapped mounts are made with, one for each map: each takes a process.
#[derive(Debug, Default)]
pub struct Namespaces(Vec<(IdMap, File)>);

impl Namespaces {
    /// The namespace with this map, which is made once.
    pub fn of(&mut self, map: &IdMap) -> io::Result<&File> {
        let known = self.0.iter().position(|(other, _)| other == map);
        let at = match known {
            Some(at) => at,
            None => {
                self.0.push((map.clone(), map.make_namespace()?));
                self.0.len() - 1
            }
        };
        Ok(&self.0[at].1)
    }
}

/// Reads `CONTAINER:NODE:SIZE`, of which there may be several, separated by commas.
fn parse(map: &str) -> Result<Vec<LinuxIdMapping>> {
    let range = |text: &str| {
        let numbers = text.split(':').map(str::parse).collect::<Result<Vec<u32>, _>>();
        match numbers.as_deref() {
            Ok(&[container, node, size]) => {
                let range = LinuxIdMappingBuilder::default().container_id(container).host_id(node);
                Ok(range.size(size).build()?)
            }
            _ => bail!("{text:?} is no range of ids"),
        }
    };
    map.split(',').map(range).collect()
}

/// The text that the kernel reads from `uid_map` and `gid_map`.
fn lines(map: &[LinuxIdMapping]) -> String {
    let line = |range: &LinuxIdMapping| format!("{} {} {}\n", range.container_id(), range.host_id(), range.size());
    map.iter().map(line).collect()
}

/// Whether the container has users of its own.
pub fn has_user_namespace(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    namespaces.into_iter().flatten().any(|namespace| namespace.typ() == LinuxNamespaceType::User)
}

/// Makes the user namespace of a container that is to have a new one, and puts its path into the
/// spec. The path holds for this process and its copies, as long as the result is open.
///
/// libcontainer would make the namespace too, but with several ranges of ids it looks for
/// `newuidmap`, and it has systemd make the cgroup of each such container.
pub fn make_user_namespace(spec: &mut Spec) -> Result<Option<File>> {
    let Some(map) = IdMap::of_container(spec) else { return Ok(None) };
    ensure!(map.has_root(), "the container's map of users and groups has no id 0, which its init process begins with");
    let namespaces = spec.linux_mut().as_mut().and_then(|linux| linux.namespaces_mut().as_mut());
    let is_new = |namespace: &&mut LinuxNamespace| namespace.typ() == LinuxNamespaceType::User && namespace.path().is_none();
    let Some(entry) = namespaces.into_iter().flatten().find(is_new) else { return Ok(None) };
    let namespace = map.make_namespace().context("making the container's user namespace")?;
    entry.set_path(Some(format!("/proc/self/fd/{}", namespace.as_raw_fd()).into()));
    Ok(Some(namespace))
}

/// The ids that the user and the group of a process of this container have on the node.
pub fn ids_on_node(spec: &Spec, user: &User) -> (u32, u32) {
    let (uid, gid) = (user.uid(), user.gid());
    IdMap::of_container(spec).map_or((uid, gid), |map| map.on_node(uid, gid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn options(list: &[&str]) -> Vec<String> {
        list.iter().map(|&option| option.to_owned()).collect()
    }

    #[test]
    fn map_is_taken_out_of_the_options_of_a_root_file_system() {
        let mut options = options(&["lowerdir=/a", "uidmap=0:1000:10,10:5:1", "gidmap=0:2000:10"]);
        let map = IdMap::take_from(&mut options).expect("well-formed").expect("there is one");
        assert_eq!(lines(&map.users), "0 1000 10\n10 5 1\n");
        assert_eq!(lines(&map.groups), "0 2000 10\n");
        assert_eq!(options, ["lowerdir=/a"]);
        assert!(IdMap::take_from(&mut options).expect("none").is_none());
    }

    #[test]
    fn malformed_or_half_a_map_of_a_root_file_system_is_refused() {
        let one = ["uidmap=0:1:2"];
        let bad = [&one[..], &["uidmap=0:1", "gidmap=0:1:2"], &["uidmap=a:b:c", "gidmap=0:1:2"]];
        for list in bad {
            IdMap::take_from(&mut options(list)).expect_err("malformed");
        }
    }

    #[test]
    fn container_without_root_is_refused_with_the_reason() {
        let map = json!([{ "containerID": 1, "hostID": 1000, "size": 10 }]);
        let linux = json!({ "uidMappings": map, "gidMappings": map, "namespaces": [{ "type": "user" }] });
        let mut spec = serde_json::from_value(json!({ "ociVersion": "1.1.0", "linux": linux })).expect("a spec");
        let refused = make_user_namespace(&mut spec).expect_err("it has no root");
        assert!(refused.to_string().contains("no id 0"), "{refused}");
    }

    /// The ids on the node of a container's user, with two ranges of ids.
    fn on_node(namespaces: Value, uid: u32, gid: u32) -> (u32, u32) {
        let map = json!([
            { "containerID": 0, "hostID": 1_000_000, "size": 1000 },
            { "containerID": 2000, "hostID": 5000, "size": 1 },
        ]);
        let linux = json!({ "uidMappings": map, "gidMappings": map, "namespaces": namespaces });
        let spec: Spec = serde_json::from_value(json!({ "ociVersion": "1.1.0", "linux": linux })).expect("a spec");
        let user = serde_json::from_value(json!({ "uid": uid, "gid": gid })).expect("a user");
        ids_on_node(&spec, &user)
    }

    #[test]
    fn user_of_a_container_is_another_user_on_the_node() {
        let users = json!([{ "type": "user" }]);
        assert_eq!(on_node(users.clone(), 0, 5), (1_000_000, 1_000_005));
        assert_eq!(on_node(users.clone(), 2000, 999), (5000, 1_000_999));
        assert_eq!(on_node(users, 1000, 2001), (1000, 2001), "the container has no such ids");
        assert_eq!(on_node(json!([{ "type": "mount" }]), 7, 8), (7, 8));
    }
}
