//! The daemon of one pod: serves containerd's task API and supervises, for as long as the pod lives.
//!
//! It stays small and does nothing that could hurt it: one thread (at its start another, for some milliseconds: [`cgroup::expect_move`]), no
//! untrusted content, no fork of its own memory. Whatever is large or dangerous happens in processes that it starts from its own binary and
//! that end soon.

mod console;
mod create;
mod error;
mod events;
mod exec;
mod helper;
mod process;
mod reaper;
mod service;
mod stats;
mod stdio;
mod task;
mod update;

use std::fs::File;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use containerd_shim::Flags;
use containerd_shim::logger::FifoLogger;
use containerd_shim_protos::protobuf::well_known_types::timestamp::Timestamp;
use containerd_shim_protos::shim_async::create_task;
use containerd_shim_protos::ttrpc::asynchronous::{Server, transport::Listener};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Pid, set_child_subreaper};

use tokio::signal::unix::{SignalKind, signal};

use service::Service;
use task::Tasks;

use crate::{cgroup, sys};

/// How long an answer on its way may take once the daemon was told to end.
const PARTING: Duration = Duration::from_millis(100);

/// Serves until containerd says that nothing is left to serve.
pub fn main(flags: Flags) -> Result<()> {
    init_log(flags.debug)?;
    let listener = take_listener().context("taking over the socket")?;
    // Not sooner: what it opens could get the number that stdin must have.
    cgroup::expect_move();
    // A container's first process is the helper's child; when the helper ends, it becomes ours.
    set_child_subreaper(Some(Pid::INIT))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (socket, group) = (flags.socket.clone(), flags.id.clone());
    let result = runtime.block_on(serve(flags, listener));
    let _gone_already = std::fs::remove_file(socket);
    log::info!(pod = group; "ended");
    result
}

async fn serve(flags: Flags, listener: UnixListener) -> Result<()> {
    let ttrpc = std::env::var("TTRPC_ADDRESS").context("TTRPC_ADDRESS")?;
    // What ends other processes is no reason to leave containers without anyone to supervise them; the handlers alone do it, and
    // unlike an ignored signal they don't pass on to the containers.
    let _unread = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let tasks = Tasks::new(&flags, &ttrpc)?;
    let service = Arc::new(Service::new(tasks.clone()));
    let mut services = create_task(service.clone());
    // containerd before 2.0 asks for version 2, which has the same calls and messages under another name.
    services.extend(create_task(service).into_values().map(|calls| ("containerd.task.v2.Task".to_owned(), calls)));
    listener.set_nonblocking(true)?;
    let listener = Listener::try_from(listener).context("the ttrpc listener")?;
    let mut server = Server::new().add_listener(listener).register_service(services);
    server.start().await?;
    log::info!(pod = flags.id, namespace = flags.namespace; "serving");
    tasks.until_shut_down().await;
    server.stop_listen().await;
    tasks.events().flush().await;
    tokio::time::sleep(PARTING).await;
    Ok(())
}

/// The socket is our stdin, from where it moves so that no child gets it.
fn take_listener() -> Result<UnixListener> {
    let listener: OwnedFd = fcntl_dupfd_cloexec(std::io::stdin().as_fd(), 3)?;
    drop(sys::inherited_fd(0)?);
    // The lowest number that is free is the one just closed.
    let _stdin_for_ever = File::open("/dev/null")?.into_raw_fd();
    Ok(listener.into())
}

/// containerd copies our stderr to its own log.
fn init_log(debug: bool) -> Result<()> {
    let log = File::from(fcntl_dupfd_cloexec(std::io::stderr().as_fd(), 3)?);
    log::set_max_level(if debug { log::LevelFilter::Debug } else { log::LevelFilter::Info });
    Ok(log::set_boxed_logger(Box::new(FifoLogger::with_file(log)))?)
}

/// A time as containerd's messages carry it.
pub fn timestamp(at: SystemTime) -> Timestamp {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp { seconds: since.as_secs().cast_signed(), nanos: since.subsec_nanos().cast_signed(), ..Default::default() }
}
