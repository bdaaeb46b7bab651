//! Making one container: the helper's larger part. Two things copy the process: an app is prepared by a copy, and the container's init process is one.

mod clamp;
mod classify;
mod content;
mod devices;
mod files;
mod init;
mod native;
mod notes;
mod preparation;
mod prepare;
mod rootfs;
mod snapshot;
mod spin;

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use libcontainer::workload::Executor;
use oci_spec::runtime::{LinuxDeviceCgroup, Spec};
use rustix::fs::{FileType, Gid, Uid, fchown, fstat};

pub use clamp::to_what_is_allowed;
pub use init::Joined;
pub use native::Native;
pub use spin::own_program;

use classify::{Kind, classify};
use init::Init;
use preparation::Preparation;
use prepare::{Prepared, Source};
use spin::{Execution, Spin};

use crate::bundle::{self, TaskRequest};
use crate::cgroup::{self, Cgroup};
use crate::link::{Link, Report, Workload};
use crate::sys;

/// Makes the container that the bundle describes, and reports it. A Spin app is executed in it from `program`, which is [`own_program`].
pub fn create(bundle: &Path, request: &TaskRequest, program: OwnedFd, link: &Link) -> Result<()> {
    let mut spec = Spec::load(bundle.join("config.json")).context("reading the spec")?;
    let root = rootfs::mount(bundle, &request.rootfs, &mut spec)?;
    if let Some(process) = spec.process_mut() {
        to_what_is_allowed(process)?;
        let user = process.user();
        give_streams(user.uid(), user.gid()).context("giving the streams to the container's user")?;
    }
    let kind = classify(&spec, &root)?;
    let workload = workload(&kind, &spec);
    let birthplace = birthplace(request, &spec)?;
    if birthplace.is_none() {
        cgroup::expect_move();
    }
    let prepare: Option<Box<dyn FnOnce() -> Prepared>> = match kind {
        Kind::Sandbox | Kind::Native => None,
        Kind::PlainSpin(root) => Some(Box::new(|| prepare::prepare(Source::Root(root, request.rootfs.clone()), &spec))),
        Kind::Neither(command) => Some(Box::new(|| prepare::artifact(request, command, &spec))),
    };
    let preparation = prepare.map(Preparation::begin).transpose().context("copying this process to prepare the app")?;
    let (made, execution) = match preparation {
        None => {
            if let Some(process) = spec.process() {
                rootfs::make_working_directory(&root, process.cwd())?;
            }
            (make(bundle, request, spec, Native::new(link)?, birthplace)?, None)
        }
        Some((preparation, plan)) => {
            spin::fit(&mut spec);
            let executor = Spin::new(program, plan, link, &spec)?;
            let expected = || Execution::expected(executor.clone()).context("making a pipe");
            let execution = (workload == Workload::Spin).then(expected).transpose()?;
            let made = make(bundle, request, spec, executor, birthplace)?;
            preparation.done()?;
            (made, execution)
        }
    };
    let Made { pid, cgroup, init } = made;
    // The app gets ready from now on, and waits for the start by itself.
    let released = execution.as_ref().map_or(Ok(()), |_| bundle::release(&bundle::container_dir(bundle, &request.id)));
    if let Some(init) = init {
        // An init process that failed is not there to be released: the reason is what it reported.
        init.ready()?;
    }
    released.context("executing the app")?;
    link.send(&Report::Created { pid, workload, cgroup });
    if let Some(execution) = execution {
        sys::give_way();
        execution.wait();
    }
    Ok(())
}

fn workload(kind: &Kind, spec: &Spec) -> Workload {
    let hooks = spec.hooks().as_ref().and_then(|hooks| hooks.start_container().as_deref()).unwrap_or_default();
    match kind {
        Kind::Sandbox => Workload::Sandbox,
        Kind::Native => Workload::Native,
        // What hooks do must be done before the app's process exists, but not before the start.
        Kind::PlainSpin(_) | Kind::Neither(_) if !hooks.is_empty() => Workload::HookedSpin,
        Kind::PlainSpin(_) | Kind::Neither(_) => Workload::Spin,
    }
}

/// The container's cgroup, which is there then, where its init process can be made here; else libcontainer makes both, or systemd.
///
/// Fails for a path that can't be what the kubelet means.
fn birthplace(request: &TaskRequest, spec: &Spec) -> Result<Option<Cgroup>> {
    let path = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_ref()?.to_str());
    let Some(path) = path.filter(|path| !path.is_empty()) else { return Ok(None) };
    let cgroup = Cgroup::of_path(path, request.systemd_cgroup).context("the container's cgroup")?;
    let is_ours = init::is_ordinary(request, spec) && cgroup.make().is_ok();
    Ok(is_ours.then_some(cgroup))
}

/// A container, which is complete once its init process says so.
struct Made {
    pid: u32,
    cgroup: Cgroup,
    init: Option<Init>,
}

/// Makes the container, by an init process of ours where there is a place for it.
fn make(
    bundle: &Path,
    request: &TaskRequest,
    spec: Spec,
    executor: impl Executor + 'static,
    birthplace: Option<Cgroup>,
) -> Result<Made> {
    let Some(cgroup) = birthplace else {
        let pid = build(bundle, request, &spec, executor)?;
        let cgroup = Cgroup::of_process(pid).context("finding the container's cgroup")?;
        // In version 1 libcontainer has done it.
        if cgroup.is_unified() {
            devices::restrict(&cgroup, device_rules(&spec))?;
        }
        return Ok(Made { pid, cgroup, init: None });
    };
    devices::restrict(&cgroup, device_rules(&spec))?;
    let init = Init::make(bundle, request, spec, executor, &cgroup)?;
    init.limit(request)?;
    Ok(Made { pid: init.pid(), cgroup, init: Some(init) })
}

/// Has libcontainer make the container, from a copy of the spec: the bundle's own stays as containerd wrote it.
fn build(bundle: &Path, request: &TaskRequest, spec: &Spec, executor: impl Executor + 'static) -> Result<u32> {
    let state: PathBuf = bundle::state_dir(bundle);
    std::fs::create_dir_all(&state).context("making the state's directory")?;
    spec.save(state.join("config.json")).context("writing the spec")?;
    let container = ContainerBuilder::new(request.id.clone(), SyscallType::default())
        .with_executor(executor)
        .with_root_path(&state)?
        .with_console_socket(request.terminal.then(|| bundle::console_socket(bundle, "")))
        .as_init(&state)
        .with_systemd(request.systemd_cgroup)
        .with_detach(true)
        .build();
    let container = container.map_err(|error| anyhow::anyhow!(sentence(&error)))?;
    let pid = container.pid().context("the container has no process")?;
    Ok(pid.as_raw().cast_unsigned())
}

fn device_rules(spec: &Spec) -> &[LinuxDeviceCgroup] {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    resources.and_then(|resources| resources.devices().as_deref()).unwrap_or_default()
}

/// Lets the container's user open its own streams again, as `/dev/stdout`: containerd makes the fifos for root alone.
pub fn give_streams(uid: u32, gid: u32) -> Result<()> {
    if uid == 0 {
        return Ok(());
    }
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    for stream in [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()] {
        if FileType::from_raw_mode(fstat(stream)?.st_mode) == FileType::Fifo {
            fchown(stream, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
    }
    Ok(())
}

/// An error with its causes, each once: libcontainer's often repeat them.
pub fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
