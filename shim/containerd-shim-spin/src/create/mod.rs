//! Making one container: the helper's larger part. Two things copy the process: an app is prepared by a copy, and the container's init process is one.

mod adapt;
mod clamp;
mod classify;
mod content;
mod copy;
mod copy_up;
mod devices;
mod files;
mod finish;
mod hooks;
mod idmap;
mod init;
mod joined;
mod maker;
mod native;
mod notes;
mod placement;
mod preparation;
mod prepare;
mod process;
mod rootfs;
mod selinux;
mod snapshot;
mod spin;
mod users;

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use oci_spec::runtime::Spec;
use rustix::fs::{FileType, Gid, Uid, fchown, fstat};

pub use adapt::adapt_process;
pub use hooks::run as run_hooks;
pub use joined::Joined;
pub use native::{BeforeExecution, Native};
pub use placement::update;
pub use selinux::ExecLabel;
pub use spin::own_program;
pub use users::ids_on_node;

use classify::{Kind, classify};
use finish::Finish;
use hooks::{StartHooks, later_hooks};
use maker::{Made, Maker};
use prepare::{Prepared, Source};
use spin::{Execution, Spin};

use crate::bundle::{self, TaskRequest};
use crate::link::{Link, Report, Workload};
use crate::sys;

/// Makes the container that the bundle describes, and reports it. A Spin app is executed in it from `program`, which is [`own_program`].
pub fn create(bundle: &Path, request: &TaskRequest, program: OwnedFd, link: &Link) -> Result<()> {
    // What the container is to be, by its spec and its root file system.
    let mut spec = Spec::load(bundle.join("config.json")).context("reading the spec")?;
    let later_hooks = later_hooks(&spec);
    let before =
        BeforeExecution { hooks: Some(StartHooks::of(bundle, request, &spec)), label: ExecLabel::of(spec.process().as_ref()) };
    let root = rootfs::mount(bundle, &request.rootfs, &mut spec)?;
    let finish = Finish::take(&mut spec, &root)?;
    let kind = classify(&spec, &root)?;
    let workload = workload(&kind, &before);
    if !matches!(kind, Kind::Sandbox | Kind::Native) {
        spin::fit(&mut spec);
    }
    let maker = Maker::of(request, &mut spec)?;

    // A copy of this process prepares an app, while this one makes the container.
    let read = &spec;
    let prepare: Option<Box<dyn FnOnce() -> Result<Prepared>>> = match kind {
        Kind::Sandbox | Kind::Native => None,
        Kind::PlainSpin(root) => Some(Box::new(move || Ok(prepare::prepare(Source::Root(root, request.rootfs.clone()), read)))),
        Kind::Neither(command) => Some(Box::new(move || prepare::artifact(request, &command, read))),
    };
    let preparation = prepare.map(preparation::begin).transpose().context("copying this process to prepare the app")?;
    let (made, execution) = match preparation {
        None => {
            if let Some(process) = spec.process() {
                rootfs::make_working_directory(&root, process.cwd())?;
            }
            (maker.make(bundle, request, spec, Native::new(link, before)?)?, None)
        }
        Some((preparation, plan)) => {
            let executor = Spin::new(program, plan, link, &spec, before)?;
            let expected = || Execution::expected(executor.clone()).context("making a pipe");
            let execution = (workload == Workload::Spin).then(expected).transpose()?;
            let made = maker.make(bundle, request, spec, executor)?;
            preparation.done()?;
            (made, execution)
        }
    };

    // The app gets ready from now on, and waits for the start by itself.
    let released = execution.as_ref().map_or(Ok(()), |_| bundle::release(&bundle::container_dir(bundle, &request.id)));
    let Made { pid, cgroup, init } = made;
    if let Some(init) = init {
        // An init process that failed is not there to be released: the reason is what it reported.
        init.ready()?;
    }
    released.context("executing the app")?;
    finish.run(pid, bundle).context("the container's mounts")?;
    link.send(&Report::Created { pid, workload, cgroup, hooks: later_hooks });
    let is_app = execution.is_some();
    if let Some(execution) = execution {
        sys::give_way();
        execution.wait();
    }
    if is_app {
        // A process that reads what the container writes waits for the end of all its streams.
        (0..3).for_each(|stream| drop(sys::inherited_fd(stream)));
        let _next_time = prepare::prune_cache();
    }
    Ok(())
}

fn workload(kind: &Kind, before: &BeforeExecution) -> Workload {
    let has_hooks = before.hooks.as_ref().is_some_and(|hooks| !hooks.is_empty());
    match kind {
        Kind::Sandbox => Workload::Sandbox,
        Kind::Native => Workload::Native,
        // What hooks do must be done before the app's process exists, but not before the start.
        Kind::PlainSpin(_) | Kind::Neither(_) if has_hooks => Workload::HookedSpin,
        Kind::PlainSpin(_) | Kind::Neither(_) => Workload::Spin,
    }
}

/// Lets the container's user open its own streams again, as `/dev/stdout`: containerd makes the fifos for root alone. The user and
/// the group are those of the node.
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
