//! The server: bound before it runs, drained before it ends.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use http::uri::Authority;
use spin_runtime::Runtime;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::accept::Acceptor;
use crate::app::{App, Target};
use crate::chaining::Chaining;
use crate::error::Error;
use crate::listener::{bind, reachable};
use crate::settings::Settings;
use crate::worker::Worker;

/// An HTTP server that has its port, its routes and its components, and has only to run.
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    address: SocketAddr,
    workers: Vec<Worker>,
    capacity: Resizer,
    abort: CancellationToken,
}

/// What a server makes of the processors that it may use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Capacity {
    /// As [`Settings::workers`].
    pub workers: usize,
    /// As [`Settings::busy_poll`].
    pub busy_poll: Duration,
}

/// Changes the capacity of a server that runs.
#[derive(Clone, Debug)]
pub struct Resizer(Arc<watch::Sender<Capacity>>);

impl Resizer {
    /// Has the server follow.
    pub fn resize(&self, capacity: Capacity) {
        self.0.send_replace(capacity);
    }
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
        let (listen, workers, unsent) = (settings.listen, settings.workers, settings.max_kernel_unsent());
        let capacity = Capacity { workers, busy_poll: settings.busy_poll };
        let app = Arc::new(App::new(runtime, settings)?);
        (0..workers.max(1)).try_for_each(|index| app.prepare_worker(index))?;
        let (listener, address) = bind(listen, unsent)?;
        if let Ok(authority) = Authority::try_from(reachable(address).to_string()) {
            app.authority.get_or_init(|| authority);
        }
        runtime.set_internal(Arc::new(Chaining::new(&app)));
        let abort = CancellationToken::new();
        let workers = match workers {
            0 | 1 => vec![Worker::here(&app, &abort)],
            count => (0..count).map(|index| Worker::on_thread(&app, index, &abort)).collect::<Result<_, _>>()?,
        };
        let capacity = Resizer(Arc::new(watch::Sender::new(capacity)));
        Ok(Self { app, listener, address, workers, capacity, abort })
    }

    /// Changes how many threads serve, while the server runs.
    pub fn resizer(&self) -> Resizer {
        self.capacity.clone()
    }

    /// Where the server listens, with the port that the kernel chose where it was asked to.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The lines that name the server's address and its routes, in the form of `spin up`.
    pub fn announcement(&self) -> Vec<String> {
        let base = format!("http://{}", self.address);
        let routes = self.app.router.routes().map(|route| {
            let target = match &route.target {
                Target::Component(index) => self.app.component_id(*index),
                Target::Static(_) => "static response",
            };
            format!("  {target}: {base}{}", route.announced())
        });
        [format!("Serving {base}"), "Available Routes:".to_owned()].into_iter().chain(routes).collect()
    }

    /// Serves until `drain` is cancelled. Then health answers 503, and every HTTP/1 response closes its
    /// connection. The port stays open for [`Settings::linger`], at most for half of `grace`. After that
    /// idle connections are closed, and the others once their requests are answered, all within `grace`.
    pub async fn run(self, drain: CancellationToken, grace: Duration) -> Drained {
        let Self { app, listener, workers, capacity, abort, .. } = self;
        let mut changes = capacity.0.subscribe();
        let mut acceptor = Acceptor::new(listener, workers, app.registry.clone());
        let serve = async {
            tokio::select! {
                never = accept(&mut acceptor, &mut changes, &app, &abort) => match never {},
                () = drain.cancelled() => {}
            }
            let drained = timeout(grace, async {
                app.drain();
                tokio::select! {
                    never = acceptor.accept() => match never {},
                    () = sleep(app.settings.linger.min(grace / 2)) => {}
                }
                let workers = acceptor.close().await;
                app.registry.drain();
                join_all(workers.into_iter().map(Worker::finish)).await;
            });
            let abandoned = if drained.await.is_ok() { 0 } else { app.in_work() };
            Drained { abandoned }
        };
        let drained = tokio::select! {
            drained = serve => drained,
            never = app.registry.run_evictions() => match never {},
        };
        abort.cancel();
        drained
    }
}

/// Accepts connections until it is dropped, and follows the server's capacity meanwhile.
async fn accept(
    acceptor: &mut Acceptor,
    changes: &mut watch::Receiver<Capacity>,
    app: &Arc<App>,
    abort: &CancellationToken,
) -> Infallible {
    loop {
        tokio::select! {
            never = acceptor.accept() => match never {},
            // It can't fail: the server has the sender.
            _ = changes.changed() => {
                let Capacity { workers, busy_poll } = *changes.borrow_and_update();
                app.busy_poll.set(busy_poll);
                acceptor.set_workers(workers.min(app.max_workers()), |index| {
                    app.prepare_worker(index)?;
                    Ok(Worker::on_thread(app, index, abort)?)
                });
            }
        }
    }
}
