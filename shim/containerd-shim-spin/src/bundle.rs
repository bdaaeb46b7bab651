//! The bundle: the directory that containerd makes for a task, and what we keep in it.
//!
//! Everything of ours is inside, so that nothing outlives it: containerd removes the bundle last.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A task as containerd asked for it: what the daemon tells the helper, and what `delete` finds after both are gone.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct TaskRequest {
    /// The container's id.
    pub id: String,
    /// containerd's namespace.
    pub namespace: String,
    /// containerd's gRPC socket.
    pub containerd: String,
    /// What makes the root file system; empty where it is there already.
    pub rootfs: Vec<Mount>,
    /// Whether the cgroup's path is systemd's notation.
    pub systemd_cgroup: bool,
    /// Whether the container's process gets a terminal.
    pub terminal: bool,
}

/// A mount as containerd describes it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Mount {
    /// `overlay`, `bind`, …
    pub kind: String,
    /// Device, directory or nothing of meaning.
    pub source: String,
    /// As on mount's command line.
    pub options: Vec<String>,
}

const REQUEST: &str = "task.json";

impl TaskRequest {
    /// Leaves the request in the bundle.
    pub fn save(&self, bundle: &Path) -> io::Result<()> {
        fs::write(bundle.join(REQUEST), serde_json::to_vec(self)?)
    }

    /// The request of this bundle; none where no container was ever asked for, or it was deleted.
    pub fn load(bundle: &Path) -> io::Result<Option<Self>> {
        match fs::read(bundle.join(REQUEST)) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Leaves the id of the container's first process where tools look for it, as runc's shim does.
pub fn note_pid(bundle: &Path, pid: u32) {
    let _only_for_tools = fs::write(bundle.join("init.pid"), pid.to_string());
}

/// Where libcontainer finds what it works with, and keeps what it has to: of the container, and of each program that runs in it.
pub fn state_dir(bundle: &Path) -> PathBuf {
    bundle.join("container")
}

/// Where the helper mounts views of volumes for a container with users of its own. Its users can't enter [`state_dir`].
pub fn mounts_dir(bundle: &Path) -> PathBuf {
    bundle.join("mounts")
}

/// Where the daemon waits for the terminal of a process; an empty id is the container's first one.
pub fn console_socket(bundle: &Path, exec_id: &str) -> PathBuf {
    state_dir(bundle).join(format!("console-{exec_id}.sock"))
}

/// Connects to where the daemon waits for the terminal of a process.
pub fn connect_console(bundle: &Path, exec_id: &str) -> io::Result<OwnedFd> {
    // The socket's own path is too long for a socket address.
    let directory = File::open(state_dir(bundle))?;
    let path = console_socket(bundle, exec_id);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(UnixStream::connect(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))?.into())
}

/// libcontainer's directory of this container.
pub fn container_dir(bundle: &Path, id: &str) -> PathBuf {
    state_dir(bundle).join(id)
}

/// Lets a process that waits in libcontainer's hands be executed. In this directory it listens for that.
pub fn release(dir: &Path) -> io::Result<()> {
    // The socket's own path is too long for a socket address.
    let dir = File::open(dir)?;
    UnixStream::connect(format!("/proc/self/fd/{}/notify.sock", dir.as_raw_fd()))?.write_all(b"start container")
}

/// Forgets the container: its state and the request.
pub fn forget(bundle: &Path) -> io::Result<()> {
    for gone in [fs::remove_dir_all(state_dir(bundle)), fs::remove_file(bundle.join(REQUEST))] {
        match gone {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
