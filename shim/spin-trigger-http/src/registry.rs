//! All connections and streams of a server, and the eviction of those that hold scarce resources.
//!
//! A client can hold a connection, the memory of half a request head, or an instance that waits for it.
//! Each of these resources has a budget. Where a budget runs out, the server evicts the connections and
//! streams whose clients it has waited for the longest, so that idle clients don't keep out active ones.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;

use crate::client_wait::{Awaited, ClientWait, Command, now};
use crate::memory_budget::{Budget, Permit};
use crate::settings::Settings;

/// The shortest wait for a request or its head after which a connection may be evicted: longer than a
/// nearby client needs between its connect and its request.
const MIN_IDLE_WAIT: Duration = Duration::from_millis(100);

/// The shortest wait for a body, or for the reading of a response, after which a request may be evicted.
/// The request is lost then, so this is longer than the retransmission of a lost packet takes.
const MIN_TRANSFER_WAIT: Duration = Duration::from_secs(2);

/// The same where so many requests are queued that they would time out before their turn.
const MIN_TRANSFER_WAIT_IN_CROWD: Duration = Duration::from_millis(250);

/// The pause between two rounds of eviction, in which the evicted connections end.
const EVICTION_INTERVAL: Duration = Duration::from_millis(5);

/// A round evicts at least this part of all idle connections and half heads where places or heads are
/// short: looking at all entries costs time, which has to stay small for each evicted one.
const MIN_EVICTED_PART: usize = 32;

/// A resource that has a budget.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Resource {
    /// Places for connections.
    Places,
    /// Bytes of request heads.
    Heads,
    /// Requests that guests work on, or whose responses wait for their clients.
    Work,
}

impl Resource {
    /// Since when the server waits for the entry's client, if an eviction of the entry would free some of
    /// this resource. `queue_length` is the number of waiting requests, in multiples of the budget.
    fn freed_by(self, entry: &Entry, now: u64, queue_length: u32) -> Option<u64> {
        let (awaited, since) = entry.wait.longest()?;
        let (frees, min_wait) = match awaited {
            Awaited::FirstRequest | Awaited::NextRequest => (self == Self::Places, MIN_IDLE_WAIT),
            Awaited::Head => (self != Self::Work, MIN_IDLE_WAIT),
            Awaited::Body | Awaited::Response => {
                let min_wait = MIN_TRANSFER_WAIT / queue_length.saturating_add(1);
                (self != Self::Heads, min_wait.max(MIN_TRANSFER_WAIT_IN_CROWD))
            }
        };
        // A stream has no place of its own.
        let frees = frees && (entry.is_connection || self != Self::Places);
        (frees && Duration::from_millis(now.saturating_sub(since)) >= min_wait).then_some(since)
    }
}

/// All connections and streams, and the budgets that they share.
pub(crate) struct Registry {
    entries: Mutex<Entries>,
    /// Places for connections.
    pub places: Budget,
    /// KiB of request heads.
    pub heads: Budget,
    /// Requests that guests work on, or whose responses wait for their clients.
    pub work: Budget,
    shortage: Notify,
}

#[derive(Default)]
struct Entries {
    slab: Slab<Entry>,
    /// Whether the port is closed and the connections drain.
    is_draining: bool,
}

struct Entry {
    wait: Arc<ClientWait>,
    is_connection: bool,
}

impl Registry {
    pub fn new(settings: &Settings) -> Self {
        Self {
            entries: Mutex::default(),
            places: Budget::new(settings.max_connections),
            heads: Budget::new(settings.head_budget_kib()),
            work: Budget::new(settings.max_working),
            shortage: Notify::new(),
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection or a stream. It is removed when the result is dropped.
    pub fn add(self: &Arc<Self>, wait: &Arc<ClientWait>, is_connection: bool) -> Registered {
        let mut entries = self.entries();
        if entries.is_draining && is_connection {
            wait.send(Command::Drain);
        }
        Registered { key: entries.slab.insert(Entry { wait: wait.clone(), is_connection }), registry: self.clone() }
    }

    /// Sends [`Command::Drain`] to all connections, and to those that are added later.
    pub fn drain(&self) {
        let mut entries = self.entries();
        entries.is_draining = true;
        entries.slab.iter().filter(|(_, entry)| entry.is_connection).for_each(|(_, entry)| entry.wait.send(Command::Drain));
    }

    /// Takes `count` units of a budget. Where it has too few, it waits until evictions have freed them.
    pub async fn take(&self, budget: &Budget, count: u32) -> Permit {
        if let Some(permit) = budget.try_take(count) {
            return permit;
        }
        let _waiting = budget.wait();
        self.shortage.notify_one();
        budget.take(count).await
    }

    /// Evicts idle connections during `time`, because the process can open no more files.
    pub async fn free_files(&self, time: Duration) {
        let _waiting = self.places.wait();
        self.shortage.notify_one();
        tokio::time::sleep(time).await;
    }

    /// Evicts connections and streams whenever a budget has run out.
    pub async fn run_evictions(&self) -> Infallible {
        loop {
            self.shortage.notified().await;
            while self.evict_for_all() {
                tokio::time::sleep(EVICTION_INTERVAL).await;
            }
        }
    }

    /// Runs one round of eviction. Returns whether a budget has run out.
    fn evict_for_all(&self) -> bool {
        let budgets = [(Resource::Places, &self.places), (Resource::Heads, &self.heads), (Resource::Work, &self.work)];
        let mut is_short = false;
        for (resource, budget) in budgets {
            let waiting = budget.waiting();
            if waiting > 0 {
                self.evict_for(resource, waiting, u32::try_from(waiting / budget.total()).unwrap_or(u32::MAX));
                is_short = true;
            }
        }
        is_short
    }

    /// Evicts those whose clients the server has waited for the longest.
    fn evict_for(&self, resource: Resource, waiting: usize, queue_length: u32) {
        let entries = self.entries();
        let now = now();
        let wanted = match resource {
            Resource::Places | Resource::Heads => waiting.max(entries.slab.len() / MIN_EVICTED_PART),
            // An evicted request is lost, so no more of them than necessary.
            Resource::Work => waiting,
        };
        let candidates = entries.slab.iter().filter_map(|(_, entry)| Some((resource.freed_by(entry, now, queue_length)?, entry)));
        let mut candidates: Vec<_> = candidates.collect();
        if candidates.len() > wanted {
            candidates.select_nth_unstable_by_key(wanted, |(since, _)| *since);
            candidates.truncate(wanted);
        }
        candidates.iter().for_each(|(_, entry)| entry.wait.send(Command::Evict));
    }
}

/// An entry of the registry, which is removed when this is dropped.
pub(crate) struct Registered {
    registry: Arc<Registry>,
    key: usize,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.registry.entries().slab.remove(self.key);
    }
}
