//! The server: bound before it runs, drained before it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use spin_runtime::Runtime;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::chaining::Chaining;
use crate::error::Error;
use crate::settings::{LINGER_QUIET, Settings};
use crate::worker::{Accepted, Ending, Worker};

/// The kernel's queue of connections not accepted yet; it cuts this to net.core.somaxconn.
const BACKLOG: u32 = 4096;

/// How long accepting rests where the process has run out of file descriptors or memory.
const REST: Duration = Duration::from_millis(100);

/// An HTTP server that has its port, its routes and its components, and has only to run.
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    address: SocketAddr,
    workers: Vec<Worker>,
    places: Arc<Semaphore>,
    ending: Ending,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Drained {
    /// Requests that were still in work when the grace period was over; their clients saw the connection break.
    pub abandoned: usize,
}

impl Server {
    /// Compiles the routes, checks that every component can answer, and binds the port. Clients may connect from here on;
    /// they are answered once the server runs.
    ///
    /// # Errors
    /// Whatever is wrong with the app's HTTP triggers, their components or the port; see [`Error::exit_code`].
    pub async fn bind(runtime: &Arc<Runtime>, settings: Settings) -> Result<Self, Error> {
        let (listen, workers) = (settings.listen, settings.workers);
        let places = Arc::new(Semaphore::new(settings.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
        let app = Arc::new(App::new(runtime, settings)?);
        let listener = bind(listen)?;
        let address = listener.local_addr().map_err(|source| Error::listen(listen, source))?;
        runtime.set_internal(Arc::new(Chaining::new(&app, address)));
        let ending = Ending::default();
        let workers = match workers {
            0 | 1 => vec![Worker::here(app.clone(), ending.clone())],
            count => (0..count).map(|index| Worker::on_thread(app.clone(), index, ending.clone())).collect::<Result<_, _>>()?,
        };
        Ok(Self { app, listener, address, workers, places, ending })
    }

    /// Where the server listens, with the port that the kernel chose where it was asked to.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The routes in words, for the start's log.
    pub fn routes(&self) -> impl Iterator<Item = String> + '_ {
        self.app.router.routes().map(|route| route.written().to_string())
    }

    /// Serves until `drain` is cancelled. Then health answers 503 and every answer closes its connection; the port stays open
    /// for a short while (see [`Settings::linger`]); what is in flight is finished, all within `grace`.
    pub async fn run(self, drain: CancellationToken, grace: Duration) -> Drained {
        let Self { app, listener, workers, places, ending, .. } = self;
        let acceptor = Acceptor { listener, workers, places };
        tokio::select! {
            () = acceptor.accept() => {}
            () = drain.cancelled() => {}
        }
        let deadline = Instant::now() + grace;
        app.drain();
        let linger = app.settings.linger.min(grace);
        tokio::select! {
            () = acceptor.accept() => {}
            () = quiet(&app, linger) => {}
        }
        let workers = acceptor.close();
        ending.close.cancel();
        let finished = tokio::time::timeout_at(deadline, join_all(workers.into_iter().map(Worker::finish))).await;
        let abandoned = if finished.is_ok() { 0 } else { app.in_work() };
        ending.abort.cancel();
        Drained { abandoned }
    }
}

/// Returns once no load balancer seems to send anything any more, after `linger` at the latest.
async fn quiet(app: &App, linger: Duration) {
    let end = Instant::now() + linger;
    loop {
        let wait = LINGER_QUIET.saturating_sub(app.quiet()).min(end.saturating_duration_since(Instant::now()));
        if wait.is_zero() {
            return;
        }
        tokio::time::sleep(wait).await;
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Connections of a server before this one may still be closing.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().map_err(|source| Error::listen(address, source))
}

struct Acceptor {
    listener: TcpListener,
    workers: Vec<Worker>,
    places: Arc<Semaphore>,
}

impl Acceptor {
    /// Accepts for ever.
    async fn accept(&self) {
        loop {
            let Ok(place) = self.places.clone().acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, client)) => self.hand_over(stream, client, place),
                Err(error) if is_the_clients(&error) => log::debug!("a connection was gone before it was accepted: {error}"),
                Err(error) => {
                    log::error!("cannot accept connections: {error}");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    fn hand_over(&self, stream: TcpStream, client: SocketAddr, place: tokio::sync::OwnedSemaphorePermit) {
        let Some(worker) = self.workers.iter().min_by_key(|worker| worker.load()) else { return };
        match stream.into_std() {
            Ok(stream) => worker.serve(Accepted { stream, client, place }),
            Err(error) => log::debug!("connection of {client}: {error}"),
        }
    }

    /// Closes the port. What the kernel had accepted already is served: closing would reset it.
    fn close(self) -> Vec<Worker> {
        use futures::FutureExt;
        while let Ok(place) = self.places.clone().try_acquire_owned() {
            let Some(Ok((stream, client))) = self.listener.accept().now_or_never() else { break };
            self.hand_over(stream, client, place);
        }
        self.workers
    }
}

fn is_the_clients(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
