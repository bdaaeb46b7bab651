//! Who makes a container: this process, where its init process needs no process in between, or libcontainer.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result};
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use libcontainer::workload::Executor;
use oci_spec::runtime::{LinuxDeviceCgroup, Spec};

use super::hooks::CreationHooks;
use super::init::{Init, is_ordinary};
use super::placement::{Placement, cgroup_of};
use super::users::{ids_on_node, make_user_namespace};
use super::{adapt, devices, give_streams, sentence};
use crate::bundle::{self, TaskRequest};
use crate::cgroup::{self, Cgroup};

/// Makes a container.
pub enum Maker {
    /// With an init process of ours, in this place.
    Own(Placement, CreationHooks),
    /// libcontainer, which makes its cgroup too, or has systemd make it. It joins this user namespace, if the container is to have a new
    /// one.
    Libcontainer(Option<File>),
}

/// A container, which is complete once its init process says so.
pub struct Made {
    /// The init process, as this process and the daemon see it.
    pub pid: u32,
    /// Where its processes are counted and limited.
    pub cgroup: Cgroup,
    /// To be waited for; `None` where the container is complete.
    pub init: Option<Init>,
}

impl Maker {
    /// Who is to make the container of this spec, which is changed for that; its cgroup is there then, unless libcontainer or systemd makes it. Fails for
    /// what can't be what containerd means.
    pub fn of(request: &TaskRequest, spec: &mut Spec) -> Result<Self> {
        if let Some(process) = spec.process() {
            let (uid, gid) = ids_on_node(spec, process.user());
            give_streams(uid, gid).context("giving the streams to the container's user")?;
        }
        let placement = if is_ordinary(spec) { Placement::of(request, spec)? } else { None };
        if let Some(placement) = placement {
            let hooks = CreationHooks::take(spec);
            adapt::adapt(spec, Some(placement.cgroup()))?;
            return Ok(Self::Own(placement, hooks));
        }
        // Begun here, the wait for the kernel is over when libcontainer moves its process.
        cgroup::expect_move();
        // libcontainer makes no cgroups in hierarchies without controllers, so the container gets no view of these.
        adapt::adapt(spec, cgroup_of(request, spec)?.map(Cgroup::with_controllers).as_ref())?;
        Ok(Self::Libcontainer(make_user_namespace(spec)?))
    }

    /// Makes it.
    pub fn make(self, bundle: &Path, request: &TaskRequest, spec: Spec, executor: impl Executor + 'static) -> Result<Made> {
        let (placement, hooks) = match self {
            Self::Own(placement, hooks) => (placement, hooks),
            Self::Libcontainer(_namespace) => return make_by_libcontainer(bundle, request, spec, executor),
        };
        // systemd's scope has no place for rules before it has a process.
        if let Placement::Made(cgroup) = &placement {
            devices::restrict(cgroup, device_rules(&spec))?;
        }
        let console =
            request.terminal.then(|| bundle::connect_console(bundle, "")).transpose().context("the terminal's socket")?;
        let spec = Rc::new(spec);
        let init = Init::make(bundle, request, &spec, executor, &placement, &hooks, console)?;
        placement.limit(request, &spec)?;
        if let Placement::Scope { cgroup, .. } = &placement {
            devices::restrict(cgroup, device_rules(&spec))?;
        }
        Ok(Made { pid: init.pid(), cgroup: placement.cgroup().clone(), init: Some(init) })
    }
}

/// Has libcontainer make the container, from a copy of the spec: the bundle's own stays as containerd wrote it.
fn make_by_libcontainer(bundle: &Path, request: &TaskRequest, mut spec: Spec, executor: impl Executor + 'static) -> Result<Made> {
    let cgroup = cgroup_of(request, &spec)?;
    let by_systemd = request.systemd_cgroup && cgroup.as_ref().is_some_and(Cgroup::is_unified);
    if !by_systemd && let (Some(linux), Some(cgroup)) = (spec.linux_mut(), &cgroup) {
        // In version 1 libcontainer takes systemd's notation for a name.
        linux.set_cgroups_path(cgroup.relative_path());
    }
    let state: PathBuf = bundle::state_dir(bundle);
    std::fs::create_dir_all(&state).context("making the state's directory")?;
    spec.save(state.join("config.json")).context("writing the spec")?;
    let container = ContainerBuilder::new(request.id.clone(), SyscallType::default())
        .with_executor(executor)
        .with_root_path(&state)?
        .with_console_socket(request.terminal.then(|| bundle::console_socket(bundle, "")))
        .as_init(&state)
        .with_systemd(by_systemd)
        .with_detach(true)
        .build();
    let container = container.map_err(|error| anyhow::anyhow!(sentence(&error)))?;
    let pid = container.pid().context("the container has no process")?.as_raw().cast_unsigned();
    // libcontainer makes none in hierarchies without controllers: there the process is in a cgroup that it shares with others.
    let found = || Ok::<_, anyhow::Error>(Cgroup::of_process(pid).context("finding the container's cgroup")?.with_controllers());
    let cgroup = cgroup.map_or_else(found, Ok)?;
    // In version 1 libcontainer has done it.
    if cgroup.is_unified() {
        devices::restrict(&cgroup, device_rules(&spec))?;
    }
    Ok(Made { pid, cgroup, init: None })
}

fn device_rules(spec: &Spec) -> &[LinuxDeviceCgroup] {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    resources.and_then(|resources| resources.devices().as_deref()).unwrap_or_default()
}
