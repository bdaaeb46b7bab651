//! The runtimes that serve connections: one per core, each with connections and instances of its own.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::runtime::{self, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::{self, App};
use crate::busy_poll::BusyPoll;
use crate::connection;
use crate::memory_budget::Permit;
use crate::protocol::Protocols;

/// A connection on its way to a worker; it no longer belongs to the runtime that accepted it.
pub(crate) struct Accepted {
    pub stream: TcpStream,
    pub client: SocketAddr,
    /// Its place among all connections.
    pub place: Permit,
}

/// The server's end of a worker.
pub(crate) struct Worker {
    connections: mpsc::UnboundedSender<Accepted>,
    state: Arc<WorkerState>,
    done: oneshot::Receiver<()>,
}

/// What a worker, its connections and the server know of each other.
#[derive(Default)]
pub(crate) struct WorkerState {
    /// How many connections it has.
    open: AtomicUsize,
    /// Whether it gets no more, because the container has fewer processors now.
    resting: AtomicBool,
}

impl WorkerState {
    /// Whether its connections are to end, so that their clients open others.
    pub fn is_resting(&self) -> bool {
        self.resting.load(Ordering::Relaxed)
    }
}

/// The most sockets that are heard of at once. What their requests need stays in the caches until they are answered; with hundreds of connections a
/// look at all that are ready brought more than fits.
const SOCKETS_AT_ONCE: usize = 32;

/// A runtime that serves connections, on one thread. Fails where the process may open no more files.
pub fn runtime() -> io::Result<Runtime> {
    runtime::Builder::new_current_thread().enable_all().max_io_events_per_tick(SOCKETS_AT_ONCE).build()
}

impl Worker {
    /// Starts a worker on a thread of its own.
    pub fn on_thread(app: &Arc<App>, index: usize, abort: &CancellationToken) -> io::Result<Self> {
        let runtime = runtime()?;
        let (worker, work) = Self::prepare(app, abort);
        std::thread::Builder::new().name(format!("http-{index}")).spawn(move || {
            app::become_worker(index);
            runtime.block_on(work);
        })?;
        Ok(worker)
    }

    /// Starts a worker on the runtime of the caller.
    pub fn here(app: &Arc<App>, abort: &CancellationToken) -> Self {
        let (worker, work) = Self::prepare(app, abort);
        tokio::spawn(work);
        worker
    }

    fn prepare(app: &Arc<App>, abort: &CancellationToken) -> (Self, impl Future<Output = ()> + Send + 'static + use<>) {
        let (connections, accepted) = mpsc::unbounded_channel();
        let (finished, done) = oneshot::channel();
        let state = Arc::<WorkerState>::default();
        let work = work(app.clone(), accepted, state.clone(), abort.clone());
        let worker = Self { connections, state, done };
        (worker, async move {
            work.await;
            let _ = finished.send(());
        })
    }

    /// How many connections it has.
    pub fn load(&self) -> usize {
        self.state.open.load(Ordering::Relaxed)
    }

    /// Has its connections end after their next response, or not any more.
    pub fn set_resting(&self, resting: bool) {
        self.state.resting.store(resting, Ordering::Relaxed);
    }

    /// Gives it one more; they are bounded by their places.
    pub fn serve(&self, accepted: Accepted) {
        self.state.open.fetch_add(1, Ordering::Relaxed);
        // A worker ends only after the server has let go of it.
        let _ = self.connections.send(accepted);
    }

    /// No more connections will come; returns once the worker has done with those it has.
    pub async fn finish(self) {
        drop(self.connections);
        let _ = self.done.await;
    }
}

async fn work(app: Arc<App>, accepted: mpsc::UnboundedReceiver<Accepted>, state: Arc<WorkerState>, abort: CancellationToken) {
    let polling = Arc::new(BusyPoll::new(app.busy_poll.clone()));
    tokio::select! {
        () = serve(app, accepted, state, &polling) => {}
        never = polling.run() => match never {},
        () = abort.cancelled() => {}
    }
}

/// Serves connections until no more come and none is left.
async fn serve(app: Arc<App>, mut accepted: mpsc::UnboundedReceiver<Accepted>, state: Arc<WorkerState>, polling: &Arc<BusyPoll>) {
    let protocols = Arc::new(Protocols::new(&app));
    let mut connections = JoinSet::new();
    let mut coming = true;
    while coming || !connections.is_empty() {
        tokio::select! {
            next = accepted.recv(), if coming => match next {
                None => coming = false,
                Some(Accepted { stream, client, place }) => {
                    let place = Place { worker: state.clone(), _permit: place };
                    let Ok(stream) = tokio::net::TcpStream::from_std(stream) else { continue };
                    let (app, protocols, polling) = (app.clone(), protocols.clone(), polling.clone());
                    connections.spawn(connection::serve(app, protocols, stream, client, polling, place));
                }
            },
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                if let Err(error) = ended {
                    log::error!("a connection ended in a fault of the host: {error}");
                }
            }
        }
    }
}

/// A connection's place: on its worker, and among all.
pub(crate) struct Place {
    pub worker: Arc<WorkerState>,
    _permit: Permit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.worker.open.fetch_sub(1, Ordering::Relaxed);
    }
}
