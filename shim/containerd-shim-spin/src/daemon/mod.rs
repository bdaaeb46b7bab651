//! The daemon of one pod: serves containerd's task API and supervises, for as long as the pod lives.
//!
//! It stays small and does nothing that could hurt it: one thread, no untrusted content. Whatever is large or dangerous happens in processes that it
//! starts from its own binary and that end soon.

mod console;
mod create;
mod error;
mod events;
mod exec;
mod helper;
mod logger;
mod oom;
mod options;
mod process;
mod reaper;
mod service;
mod stats;
mod task;

use std::env::set_current_dir;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use containerd_shim::logger::FifoLogger;
use containerd_shim_protos::protobuf::well_known_types::timestamp::Timestamp;
use containerd_shim_protos::shim_async::create_task;
use containerd_shim_protos::ttrpc::asynchronous::{Server, transport::Listener};
use rustix::process::{Pid, set_child_subreaper, setpgid};
use rustix::stdio::dup2_stderr;
use tokio::signal::unix::{SignalKind, signal};

pub use options::RuntimeOptions;

use helper::{Part, Started};
use service::Service;
use task::Tasks;

use crate::link::Link;
use crate::stdio::{self, Paths};
use crate::sys;

/// How long an answer on its way may take once the daemon was told to end.
const PARTING: Duration = Duration::from_millis(100);

/// What a daemon is started with.
#[derive(Debug)]
pub struct Daemon {
    /// The id of the pod, which is that of its first container.
    pub pod: String,
    /// containerd's namespace.
    pub namespace: String,
    /// containerd's gRPC socket.
    pub grpc: String,
    /// containerd's ttrpc socket, for events.
    pub ttrpc: String,
    /// The daemon's own socket.
    pub path: PathBuf,
    /// The same, bound.
    pub listener: UnixListener,
    /// Whether containerd logs at that level.
    pub debug: bool,
}

impl Daemon {
    /// Serves until containerd says that nothing is left to serve. The process's directory is the pod's first bundle.
    pub fn run(self) -> Result<()> {
        // First of all: the helper would have the streams too, and who called `start` waits until nobody has them.
        stdio::take(&Paths::default(), None)?;
        // Who started us will create a container.
        let first = match helper::first() {
            Ok(Part::Daemon(first)) => Ok(first),
            Ok(Part::Helper(link)) => {
                drop(self);
                return be_helper(&link);
            }
            Err(error) => Err(error),
        };
        setpgid(None, None)?;
        init_log(self.debug)?;
        // Not before somebody can read of it.
        let first = first.context("starting the first helper")?;
        set_current_dir("/")?;
        // A container's first process is the helper's child; when the helper ends, it becomes ours.
        set_child_subreaper(Some(Pid::INIT))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let pod = self.pod.clone();
        let result = runtime.block_on(self.serve(first));
        log::info!(pod; "ended");
        result
    }

    async fn serve(self, first: Started) -> Result<()> {
        // What ends other processes is no reason to leave containers without anyone to supervise them; the handlers alone do it, and
        // unlike an ignored signal they don't pass on to the containers.
        let _unread = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let Self { pod, namespace, grpc, ttrpc, path, listener, .. } = self;
        let tasks = Tasks::new(namespace.clone(), grpc, &ttrpc, path)?;
        tasks.has_ahead(first.heard()?);
        let service = Arc::new(Service::new(tasks.clone()));
        let mut services = create_task(service.clone());
        // containerd before 2.0 asks for version 2, which has the same calls and messages under another name.
        services.extend(create_task(service).into_values().map(|calls| ("containerd.task.v2.Task".to_owned(), calls)));
        listener.set_nonblocking(true)?;
        let listener = Listener::try_from(listener).context("the ttrpc listener")?;
        let mut server = Server::new().add_listener(listener).register_service(services);
        server.start().await?;
        log::info!(pod, namespace; "serving");
        tasks.until_shut_down().await;
        server.stop_listen().await;
        tasks.events().flush().await;
        tokio::time::sleep(PARTING).await;
        Ok(())
    }
}

/// What a helper is that was executed: a group of its own, and nothing of the environment that `start` was called with.
fn be_helper(link: &Link) -> Result<()> {
    setpgid(None, None)?;
    sys::clear_environment()?;
    crate::helper::work(link);
    Ok(())
}

/// Logs to the bundle's fifo, from which containerd copies to its own log.
fn init_log(debug: bool) -> Result<()> {
    // Open for reading too: containerd may come later, or go; and never to wait for it.
    let open = |path| OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path);
    let log = open("log").or_else(|_| open("/dev/null"))?;
    dup2_stderr(&log)?;
    log::set_max_level(if debug { log::LevelFilter::Debug } else { log::LevelFilter::Info });
    Ok(log::set_boxed_logger(Box::new(FifoLogger::with_file(log)))?)
}

/// A time as containerd's messages carry it.
pub fn timestamp(at: SystemTime) -> Timestamp {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp { seconds: since.as_secs().cast_signed(), nanos: since.subsec_nanos().cast_signed(), ..Default::default() }
}
