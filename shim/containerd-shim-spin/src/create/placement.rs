//! The cgroup of a container: where its processes are counted and limited, and who makes it.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use libcgroups::common::{AnyCgroupManager, CgroupConfig, CgroupManager, ControllerOpt, create_cgroup_manager};
use nix::unistd::Pid;
use oci_spec::runtime::{LinuxResources, Spec};

use super::process::in_a_sentence;
use crate::bundle::TaskRequest;
use crate::cgroup::Cgroup;
use crate::sys::{self, Fork};

/// Where the processes of a container go.
pub enum Placement {
    /// A cgroup that is there: processes are born in it.
    Made(Cgroup),
    /// A scope that systemd makes around a process that is there. With version 2 alone: in version 1 its directories are made as
    /// any other cgroup's, at the place that the scope would have.
    Scope {
        /// The scope's cgroup.
        cgroup: Cgroup,
        /// Speaks with systemd.
        systemd: Box<AnyCgroupManager>,
    },
}

impl Placement {
    /// Where this spec's container is to be; made, unless it is for systemd to make. `None` where the spec doesn't say.
    pub fn of(request: &TaskRequest, spec: &Spec) -> Result<Option<Self>> {
        let Some(cgroup) = cgroup_of(request, spec)? else { return Ok(None) };
        if request.systemd_cgroup && cgroup.is_unified() {
            return Ok(Some(Self::Scope { cgroup, systemd: systemd(request, spec)? }));
        }
        cgroup.make().context("making the container's cgroup")?;
        Ok(Some(Self::Made(cgroup)))
    }

    /// The cgroup itself.
    pub fn cgroup(&self) -> &Cgroup {
        match self {
            Self::Made(cgroup) | Self::Scope { cgroup, .. } => cgroup,
        }
    }

    /// Has a copy of this process, which must have one thread, do `child` in the cgroup, or where it isn't there learn why. Returns
    /// the copy's id. The copy ends with a failure where it comes back from that.
    pub fn spawn(&self, child: impl FnOnce(io::Result<()>)) -> Result<u32> {
        match self {
            Self::Made(cgroup) => cgroup.spawn(child).context("copying this process"),
            Self::Scope { cgroup, systemd } => {
                let (mut moved, mut report) = io::pipe().context("making a pipe")?;
                match sys::fork().context("copying this process")? {
                    Fork::Parent(pid) => {
                        let task = Pid::from_raw(pid.cast_signed());
                        systemd.add_task(task).map_err(in_a_sentence).context("having systemd make the container's scope")?;
                        // systemd passes on some controllers only; limits may need any.
                        cgroup.make().context("passing controllers on to the container's scope")?;
                        report.write_all(&[0]).context("the container's init process")?;
                        Ok(pid)
                    }
                    Fork::Child => {
                        drop(report);
                        // Nothing comes where this process's parent gave up.
                        child(moved.read_exact(&mut [0]));
                        std::process::exit(1)
                    }
                }
            }
        }
    }

    /// Sets the limits of a container that is being made, but for devices.
    pub fn limit(&self, request: &TaskRequest, spec: &Spec) -> Result<()> {
        let resources = spec.linux().as_ref().and_then(|linux| linux.resources().clone());
        resources.map_or(Ok(()), |resources| self.set_limits(request, resources))
    }

    fn set_limits(&self, request: &TaskRequest, mut resources: LinuxResources) -> Result<()> {
        // Version 1 forbids all devices first, which must not happen while the init process makes its own; nor can anybody change
        // them later: CRI sends those of the spec again.
        resources.set_devices(None);
        if resources == LinuxResources::default() {
            return Ok(());
        }
        if let Self::Scope { systemd, .. } = self {
            // systemd sets again what it knows whenever it likes, so it has to know.
            apply(systemd, &resources)?;
        }
        let path = self.cgroup().relative_path().context("the cgroup's path")?;
        apply(&manager(request, path, false)?, &resources)?;
        limit_swap(self.cgroup(), &resources).context("setting the limit of swap")
    }
}

/// Sets new limits for a container that runs, in its cgroup, and leaves those that are not named.
pub fn update(bundle: &Path, request: &TaskRequest, cgroup: Cgroup, resources: LinuxResources) -> Result<()> {
    let placement = match request.systemd_cgroup && cgroup.is_unified() {
        true => {
            let spec = Spec::load(bundle.join("config.json")).context("reading the spec")?;
            Placement::Scope { cgroup, systemd: systemd(request, &spec)? }
        }
        false => Placement::Made(cgroup),
    };
    placement.set_limits(request, resources)
}

/// The cgroup that the spec names, whether it is there or not; fails for a path that can't be what the kubelet means.
pub fn cgroup_of(request: &TaskRequest, spec: &Spec) -> Result<Option<Cgroup>> {
    let path = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_ref()?.to_str());
    let Some(path) = path.filter(|path| !path.is_empty()) else { return Ok(None) };
    Cgroup::of_path(path, request.systemd_cgroup).map(Some).context("the container's cgroup")
}

/// Speaks with systemd about the scope that the spec names.
fn systemd(request: &TaskRequest, spec: &Spec) -> Result<Box<AnyCgroupManager>> {
    let path = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().clone());
    manager(request, path.context("the spec names no cgroup")?, true).map(Box::new)
}

/// Sets limits in a cgroup's own files, or through systemd.
fn manager(request: &TaskRequest, cgroup_path: PathBuf, systemd_cgroup: bool) -> Result<AnyCgroupManager> {
    let config = CgroupConfig { cgroup_path, systemd_cgroup, container_name: request.id.clone() };
    create_cgroup_manager(config).map_err(in_a_sentence)
}

fn apply(manager: &AnyCgroupManager, resources: &LinuxResources) -> Result<()> {
    let disable_oom_killer = resources.memory().as_ref().and_then(|memory| memory.disable_oom_killer()).unwrap_or(false);
    let limits = ControllerOpt { resources, disable_oom_killer, oom_score_adj: None, freezer_state: None };
    manager.apply(&limits).map_err(in_a_sentence).context("setting the cgroup's limits")
}

/// libcgroups leaves out a limit of 0, which is what Kubernetes asks for: a container may have no swap.
fn limit_swap(cgroup: &Cgroup, resources: &LinuxResources) -> Result<()> {
    if !cgroup.is_unified() {
        return Ok(());
    }
    let memory = resources.memory().as_ref();
    let limits = memory.and_then(|memory| Some((memory.limit()?, memory.swap()?))).filter(|(limit, _)| *limit > 0);
    match limits {
        // Counted together in the spec, and apart in version 2.
        Some((limit, both)) if both == limit => match cgroup.write("memory", "memory.swap.max", "0") {
            // A kernel without swap has no such file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(|error| anyhow!("memory.swap.max: {error}")),
        },
        _ => Ok(()),
    }
}
