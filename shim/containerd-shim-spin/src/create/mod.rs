//! Making one container: the helper's larger part. Two things copy the process: an app is prepared by a copy, and the last act is libcontainer's.

mod clamp;
mod classify;
mod content;
mod devices;
mod files;
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
use oci_spec::runtime::{LinuxDeviceCgroup, Mount, Spec};
use rustix::fs::{FileType, Gid, Uid, fchown, fstat};

pub use clamp::to_what_is_allowed;
pub use native::Native;
pub use spin::own_program;

use classify::{Kind, classify};
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
    let cgroup = to_enter(request, &spec, workload);
    if cgroup.is_none() {
        cgroup::expect_move();
    }
    let prepare: Option<Box<dyn FnOnce() -> Prepared>> = match kind {
        Kind::Sandbox | Kind::Native => None,
        Kind::PlainSpin(root) => Some(Box::new(|| prepare::prepare(Source::Root(root, request.rootfs.clone()), &spec))),
        Kind::Neither(command) => Some(Box::new(|| prepare::artifact(request, command, &spec))),
    };
    let preparation = prepare.map(Preparation::begin).transpose().context("copying this process to prepare the app")?;
    // Where it can't be entered, libcontainer moves its process there.
    let entered = cgroup.filter(|cgroup| cgroup.enter().is_ok());
    let (pid, execution) = match preparation {
        None => {
            if let Some(process) = spec.process() {
                rootfs::make_working_directory(&root, process.cwd())?;
            }
            (build(bundle, request, &spec, Native::new(link)?)?, None)
        }
        Some((preparation, plan)) => {
            spin::fit(&mut spec);
            let executor = Spin::new(program, plan, link, &spec)?;
            let expected = || Execution::expected(executor.clone()).context("making a pipe");
            let execution = (workload == Workload::Spin).then(expected).transpose()?;
            let pid = build(bundle, request, &spec, executor)?;
            preparation.done()?;
            (pid, execution)
        }
    };
    let cgroup = match entered {
        Some(cgroup) => cgroup,
        None => Cgroup::of_process(pid).context("finding the container's cgroup")?,
    };
    if let Some(dir) = cgroup.unified_dir() {
        devices::restrict(dir, device_rules(&spec))?;
    }
    if execution.is_some() {
        // The app gets ready from now on, and waits for the start by itself. First of all: whoever hears a report may take this one's processor.
        bundle::release(bundle, &request.id).context("executing the app")?;
    }
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

/// The container's cgroup where this process may go into it, and what libcontainer then writes to it may be diverted. systemd moves a process itself;
/// mounts may be the node's too; hooks run outside; and a program that is shown its cgroups from here would see what is diverted.
fn to_enter(request: &TaskRequest, spec: &Spec, workload: Workload) -> Option<Cgroup> {
    let path = spec.linux().as_ref()?.cgroups_path().as_ref()?.to_str()?;
    if request.systemd_cgroup || rootfs::shares_mounts(spec) || spec.hooks().is_some() {
        return None;
    }
    let cgroup = Cgroup::of_path(path, false).ok()?;
    let shown = || spec.mounts().iter().flatten().any(|mount| shows_cgroups(mount, cgroup.is_unified()));
    (workload == Workload::Spin || !shown()).then_some(cgroup)
}

/// Whether a mount is made of the cgroups that this process sees: a bind, or in version 1 the mount of that type, for which libcontainer makes binds.
fn shows_cgroups(mount: &Mount, unified: bool) -> bool {
    const CGROUPS: &str = "/sys/fs/cgroup";
    let source = mount.source().as_deref().filter(|source| source.is_absolute());
    let bound = source.is_some_and(|source| source.starts_with(CGROUPS) || Path::new(CGROUPS).starts_with(source));
    bound || (!unified && mount.typ().as_deref() == Some("cgroup"))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(json: &str) -> Mount {
        serde_json::from_str(json).expect("a mount")
    }

    #[test]
    fn cgroups_are_seen_through_binds_of_them_and_of_what_is_above() {
        let bind = |source: &str| mount(&format!(r#"{{"destination":"/x","type":"bind","source":"{source}"}}"#));
        for source in ["/", "/sys", "/sys/fs/cgroup", "/sys/fs/cgroup/memory"] {
            assert!(shows_cgroups(&bind(source), true), "{source}");
        }
        for source in ["/sys/firmware", "/etc", "/system"] {
            assert!(!shows_cgroups(&bind(source), false), "{source}");
        }
    }

    #[test]
    fn only_version_1_has_its_view_made_of_binds() {
        let view = mount(r#"{"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup"}"#);
        assert!(shows_cgroups(&view, false) && !shows_cgroups(&view, true));
    }
}
