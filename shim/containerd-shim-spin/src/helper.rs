//! The helper: makes one container, or runs one more program in it; reports, and ends.
//!
//! Single-threaded and short-lived, but for the time that it may have waited for its order. Its standard streams become the new process's.

use std::env;
use std::ffi::{CString, OsString};
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use pathrs::procfs::ProcfsHandle;
use rustix::fs::Mode;
use rustix::process::umask;
use rustix::thread::set_thread_groups;
use spin_runtime::precompile;

use crate::bundle::TaskRequest;
use crate::link::{Link, Order, Report, Work};
use crate::{create, exec, stdio, sys};

/// The argument that asks for this part; the number of its link follows.
pub const VERB: &str = "--helper";

/// Waits for its order and carries it out.
pub fn main(args: &[OsString]) -> ExitCode {
    let number = args.first().and_then(|number| number.to_str()).and_then(|number| number.parse().ok());
    let Some(Ok(socket)) = number.map(sys::inherited_fd) else {
        eprintln!("containerd-shim-spin-v2: {VERB} is for the daemon");
        return ExitCode::FAILURE;
    };
    // There is time for it where a pod's sandbox was made, and its container is yet to be asked for.
    precompile::compatibility();
    work(&Link::new(socket));
    ExitCode::SUCCESS
}

/// The same for a copy of the daemon, whose order is already under way.
pub fn work(link: &Link) {
    // libcontainer's handle, kept by its library: the processes it copies from this one have it then. Where it can't be had, they will say so.
    drop(ProcfsHandle::new());
    let program = create::own_program();
    let done = match link.order() {
        Ok(Some((order, fds))) => {
            program.context("opening our own program").and_then(|program| carry_out(order, fds, program, link))
        }
        Ok(None) => return,
        Err(error) => Err(error).context("reading the order"),
    };
    if let Err(error) = done {
        link.send(&Report::Error { message: format!("{error:#}") });
    }
}

fn carry_out(order: Order, fds: Vec<OwnedFd>, own_program: OwnedFd, link: &Link) -> Result<()> {
    link.log().context("the link to the daemon")?;
    env::set_current_dir(&order.bundle).context("entering the bundle")?;
    let mut fds = fds.into_iter();
    let init = if let Work::Exec(_) = order.work { fds.next() } else { None };
    let logged = fds.next().zip(fds.next()).map(|(stdout, stderr)| [stdout, stderr]);
    stdio::take(&order.streams, logged).context("opening the streams")?;
    // What a container's processes start with, and what directories get that are made for mounts: the daemon's own would shut `/etc` to any
    // user but root.
    umask(Mode::from_raw_mode(0o022));
    let bundle = env::current_dir().context("the bundle")?;
    let request = TaskRequest::load(&bundle).context("reading the task's request")?.context("no task's request")?;
    isolate(&request)?;
    match (order.work, init) {
        (Work::Create, _) => create::create(&bundle, &request, own_program, link),
        (Work::Exec(program), Some(init)) => exec::exec(&bundle, &request, program, &init, order.streams.terminal, link),
        (Work::Exec(_), None) => bail!("the container's init process did not come with the order"),
        (Work::Hooks(stage, pid), _) => {
            create::run_hooks(&bundle, &request, stage, pid)?;
            link.send(&Report::Done);
            Ok(())
        }
        (Work::Update(cgroup, resources), _) => {
            create::update(&bundle, &request, cgroup, *resources)?;
            link.send(&Report::Done);
            Ok(())
        }
    }
}

/// Lays down what a container's processes would inherit of whoever started containerd: groups, keys, ignored signals.
fn isolate(request: &TaskRequest) -> Result<()> {
    set_thread_groups(&[]).context("leaving this process's groups")?;
    let keyring = CString::new(format!("_ses.{}", request.id)).context("the container's id")?;
    sys::join_session_keyring(&keyring).context("joining the container's keyring")?;
    sys::default_ignored_signals();
    Ok(())
}
