//! `delete`: removes what a container left when its daemon can't.
//!
//! containerd runs this after a daemon died, after a create that failed, and once more after every ordinary end, when there is nothing
//! left to do. The daemon runs it too, after a create that failed half-way.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use containerd_shim::Flags;
use containerd_shim_protos::api::DeleteResponse;
use containerd_shim_protos::protobuf::Message;
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use serde::Deserialize;

use crate::bundle::{self, TaskRequest};
use crate::cgroup::Cgroup;
use crate::create;
use crate::daemon::timestamp;
use crate::link::Stage;

/// containerd allows five seconds for all of it.
const PATIENCE: Duration = Duration::from_secs(3);

/// Cleans up, and gives containerd's reply: killed, now.
pub fn delete(flags: &Flags, bundle: &Path) -> Result<Vec<u8>> {
    let request = TaskRequest::load(bundle).context("reading the task's request")?;
    clean_up(bundle)?;
    // A daemon that was killed has not run them.
    if let Some(request) = request
        && let Err(error) = create::run_hooks(bundle, &request, Stage::PostStop, None)
    {
        eprintln!("containerd-shim-spin-v2: {error:#}");
    }
    remove_dead_socket(bundle);
    let (id, now) = (&flags.id, timestamp(SystemTime::now()));
    log::debug!("{id}: nothing left");
    let response = DeleteResponse { exit_status: 128 + 9, exited_at: Some(now).into(), ..Default::default() };
    Ok(response.write_to_bytes()?)
}

/// Ends the container's processes; removes its cgroup, its mount and its state. Done before, it does nothing.
pub fn clean_up(bundle: &Path) -> Result<()> {
    let Some(request) = TaskRequest::load(bundle).context("reading the task's request")? else { return Ok(()) };
    if let Some(path) = cgroups_path(bundle)? {
        match Cgroup::of_path(&path, request.systemd_cgroup) {
            Ok(cgroup) => end(&cgroup)?,
            // A path that no container is made with.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            Err(error) => return Err(error).context("finding the cgroup"),
        }
    }
    unmount_rootfs(bundle)?;
    bundle::forget(bundle).context("removing the state")
}

/// Unmounts the root file system where it was mounted for all to see.
pub fn unmount_rootfs(bundle: &Path) -> Result<()> {
    match unmount(bundle.join("rootfs"), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Err(Errno::INVAL | Errno::NOENT) | Ok(()) => Ok(()),
        Err(error) => Err(error).context("unmounting the root file system"),
    }
}

fn end(cgroup: &Cgroup) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        cgroup.kill();
        match cgroup.remove() {
            Err(_) if Instant::now() < deadline => sleep(Duration::from_millis(5)),
            result => return result.context("removing the cgroup"),
        }
    }
}

fn cgroups_path(bundle: &Path) -> Result<Option<String>> {
    #[derive(Default, Deserialize)]
    struct Spec {
        #[serde(default)]
        linux: Linux,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Linux {
        cgroups_path: Option<String>,
    }
    match fs::read(bundle.join("config.json")) {
        Ok(text) => Ok(serde_json::from_slice::<Spec>(&text).context("the spec is no JSON")?.linux.cgroups_path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("reading the spec"),
    }
}

/// A killed daemon can't remove its socket.
fn remove_dead_socket(bundle: &Path) {
    let Ok(address) = fs::read_to_string(bundle.join("address")) else { return };
    let path = address.trim_start_matches("unix://");
    if UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
        let _gone_already = fs::remove_file(path);
    }
}
