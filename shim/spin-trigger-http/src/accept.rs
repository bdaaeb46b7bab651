//! Accepts connections and hands them to the workers.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::{SocketFlags, accept_with};
use spin_runtime::output::say;
use tokio::net::TcpListener;
use tokio::time::timeout_at;

use crate::error::Error;
use crate::listener::canonical;
use crate::memory_budget::Permit;
use crate::registry::Registry;
use crate::worker::{Accepted, Worker};

/// How long the server accepts nothing after the process has run out of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The shortest time between two messages about that.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// How long the connections in the kernel's queue wait for a place when the port is closed.
const LAST_PLACE_TIMEOUT: Duration = Duration::from_secs(1);

/// Accepts connections.
pub(crate) struct Acceptor {
    listener: TcpListener,
    workers: Vec<Worker>,
    /// How many of the workers get connections, the first ones.
    active: usize,
    registry: Arc<Registry>,
    /// The last connection, while it waits for its place.
    accepted: Option<(std::net::TcpStream, SocketAddr)>,
    /// When the last message about a failed accept was written.
    reported: Option<Instant>,
}

impl Acceptor {
    pub fn new(listener: TcpListener, workers: Vec<Worker>, registry: Arc<Registry>) -> Self {
        let active = workers.len();
        Self { listener, workers, active, registry, accepted: None, reported: None }
    }

    /// Has `count` workers, at least one, serve from now on. `start` starts one more, which has this index. The others keep the
    /// connections that they have, each until its next response.
    pub fn set_workers(&mut self, count: usize, start: impl Fn(usize) -> Result<Worker, Error>) {
        while self.workers.len() < count {
            match start(self.workers.len()) {
                Ok(worker) => self.workers.push(worker),
                Err(error) => {
                    log::warn!("{} threads serve, and no more: {error}", self.workers.len());
                    break;
                }
            }
        }
        self.active = count.clamp(1, self.workers.len());
        for (index, worker) in self.workers.iter().enumerate() {
            worker.set_resting(index >= self.active);
        }
    }

    /// Accepts until it is dropped. It can be called again afterwards: no connection is lost between.
    pub async fn accept(&mut self) -> Infallible {
        loop {
            if self.accepted.is_none() {
                match self.listener.accept().await.and_then(|(stream, client)| Ok((stream.into_std()?, client))) {
                    Ok(accepted) => self.accepted = Some(accepted),
                    Err(error) => self.pause(&error).await,
                }
            } else {
                let place = self.registry.take(&self.registry.places, 1).await;
                self.hand_over(place);
            }
        }
    }

    /// Waits after a failed accept, unless the client caused the failure.
    async fn pause(&mut self, error: &io::Error) {
        if is_caused_by_client(error) {
            return;
        }
        if self.reported.is_none_or(|reported| reported.elapsed() >= REPORT_INTERVAL) {
            say(&format!("no more connections can be accepted for now: {error}"));
            self.reported = Some(Instant::now());
        }
        self.registry.free_files(ACCEPT_PAUSE).await;
    }

    /// Hands the accepted connection to the worker that has the fewest.
    fn hand_over(&mut self, place: Permit) {
        let worker = self.workers[..self.active].iter().min_by_key(|worker| worker.load());
        if let (Some((stream, client)), Some(worker)) = (self.accepted.take(), worker) {
            worker.serve(Accepted { stream, client: canonical(client), place });
        }
    }

    /// Closes the port after it has accepted the connections in the kernel's queue, which the close would
    /// reset.
    pub async fn close(mut self) -> Vec<Worker> {
        let end = tokio::time::Instant::now() + LAST_PLACE_TIMEOUT;
        while self.accepted.is_some() || self.accept_now() {
            match timeout_at(end, self.registry.take(&self.registry.places, 1)).await {
                Ok(place) => self.hand_over(place),
                Err(_) => break,
            }
        }
        self.workers
    }

    /// Accepts a connection if the kernel's queue has one. The runtime may not have reported it yet.
    fn accept_now(&mut self) -> bool {
        loop {
            let accepted = accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK).map_err(io::Error::from);
            match accepted.map(std::net::TcpStream::from) {
                Ok(stream) => {
                    // The peer address is gone where the client has reset the connection.
                    let Ok(client) = stream.peer_addr() else { continue };
                    self.accepted = Some((stream, client));
                    return true;
                }
                Err(error) if is_caused_by_client(&error) || error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }
}

fn is_caused_by_client(error: &io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
