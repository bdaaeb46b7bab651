//! Into a container's cgroup without the kernel's wait for it.
//!
//! Who writes the number of a process to `cgroup.procs` waits until every processor has passed a quiescent state (`percpu_down_write` of
//! `cgroup_threadgroup_rwsem`): 10 to 35 ms, most of a container's start. Two ways are without it: in version 1 a thread moves itself, alone, by a 0
//! in `tasks`; in version 2 a process is born where it shall be (`CLONE_INTO_CGROUP`).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use super::{Cgroup, NAMED};
use crate::sys::{self, Fork};

impl Cgroup {
    /// Makes it, ready to take processes.
    pub fn make(&self) -> io::Result<()> {
        if let Some(dir) = self.unified_dir() {
            return make_unified(dir);
        }
        self.each(false).iter().try_for_each(fs::create_dir_all)?;
        for dir in self.each(true) {
            // A hierarchy without controllers limits nothing; in a node that is itself a container it may be read-only.
            let _not_ours = fs::create_dir_all(dir);
        }
        if let Some(cpuset) = self.dir("cpuset") {
            inherit(cpuset, "cpuset.cpus")?;
            inherit(cpuset, "cpuset.mems")?;
        }
        Ok(())
    }

    /// Has a copy of this process, which must have one thread, do `child` in this cgroup, or where it isn't there hear why. Returns the copy's id. The copy
    /// ends with a failure where it comes back from that.
    pub fn spawn(&self, child: impl FnOnce(io::Result<()>)) -> io::Result<u32> {
        let born = self.unified_dir().and_then(|dir| sys::fork_into(File::open(dir).ok()?.as_fd()).ok());
        let is_there = born.is_some();
        match born.map_or_else(sys::fork, Ok)? {
            Fork::Parent(copy) => Ok(copy),
            Fork::Child => {
                child(if is_there { Ok(()) } else { self.enter() });
                std::process::exit(1)
            }
        }
    }

    /// The same, without the hierarchies in which it is not there; fails where it is in none.
    pub fn existing(mut self) -> io::Result<Self> {
        self.dirs.retain(|_, dir| dir.is_dir());
        if self.dirs.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(self) }
    }

    /// Moves this process, which must have one thread, into it.
    pub fn enter(&self) -> io::Result<()> {
        // Before Linux 5.7 version 2 has no way without the wait.
        let file = if self.is_unified() { "cgroup.procs" } else { "tasks" };
        self.each(false).iter().try_for_each(|dir| fs::write(dir.join(file), "0"))?;
        for dir in self.each(true) {
            let _not_there = fs::write(dir.join(file), "0");
        }
        Ok(())
    }

    /// The directories of its controllers, which can share one; or those of hierarchies that have a name instead.
    fn each(&self, named: bool) -> BTreeSet<&Path> {
        let dirs = self.dirs.iter().filter(|(controller, _)| controller.starts_with(NAMED) == named);
        dirs.map(|(_, dir)| dir.as_ref()).collect()
    }
}

/// A new cpuset has no processors and no memory, and takes no process before it has; it gets those of the one above. Returns what it has then.
fn inherit(dir: &Path, file: &str) -> io::Result<String> {
    let own = fs::read_to_string(dir.join(file))?;
    if !own.trim().is_empty() {
        return Ok(own);
    }
    let inherited = inherit(dir.parent().ok_or(io::ErrorKind::NotFound)?, file)?;
    fs::write(dir.join(file), &inherited)?;
    Ok(inherited)
}

/// Makes it with those above it, which pass on every controller that they have.
fn make_unified(dir: &Path) -> io::Result<()> {
    const CONTROLLERS: &str = "cgroup.controllers";
    let parent = dir.parent().ok_or(io::ErrorKind::NotFound)?;
    let is_the_root = !parent.join(CONTROLLERS).exists() && dir.join(CONTROLLERS).exists();
    if is_the_root {
        return Ok(());
    }
    make_unified(parent)?;
    for controller in fs::read_to_string(parent.join(CONTROLLERS))?.split_whitespace() {
        // What is missed will be said where a limit needs it.
        let _not_passed_on = fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
    }
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Begins the wait, for who will have a process moved nevertheless. For processes with one thread.
///
/// It is one for all who come while it lasts and for a while after it, so a child of ours begins it with a move that changes nothing, its own to
/// where it is.
pub fn expect_move() {
    match sys::fork() {
        Ok(Fork::Child) => {
            // Who reads what we write waits for the end of our streams.
            (0..3).for_each(|stream| drop(sys::inherited_fd(stream)));
            let _only_faster = stay();
            sys::vanish();
        }
        Ok(Fork::Parent(_)) => {}
        Err(error) => log::debug!("copying this process: {error}"),
    }
}

fn stay() -> io::Result<()> {
    let own = Cgroup::of_process(std::process::id())?;
    own.dirs.values().next().map_or(Ok(()), |dir| fs::write(dir.join("cgroup.procs"), "0"))
}
