//! From a component to one instance of it: a place among the instances, a store, limits, turns.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use wasmtime::{Engine, Store};

use crate::EngineSettings;
use crate::host::{Guest, HostState};
use crate::limits::Limits;
use crate::ticker::Ticker;

/// How long a request waits for its turn, and then for a place, before it is refused.
const WAIT: Duration = Duration::from_secs(10);

/// It was nobody's turn in time, or no place became free.
#[derive(Debug, thiserror::Error)]
#[error("all instances are in use")]
pub(crate) struct Overloaded;

/// Makes stores; one for the whole app, as the places are.
pub(crate) struct Instances {
    ticker: Ticker,
    /// For calls: less than there are places, so that instances which wait for another call don't keep one from being made.
    turns: Semaphore,
    max_turns: usize,
    /// For instances, one each as long as it exists.
    places: Arc<Semaphore>,
    max_memory: Option<u64>,
}

impl Instances {
    pub(crate) fn new(ticker: Ticker, settings: &EngineSettings) -> Self {
        let places = settings.slots() as usize;
        let (max_turns, max_memory) = (places / 2, settings.max_instance_memory);
        let (turns, places) = (Semaphore::new(max_turns), Arc::new(Semaphore::new(places)));
        Self { ticker, turns, max_turns, places, max_memory }
    }

    /// Instances of that engine will have turns too.
    pub(crate) fn add(&self, engine: &Engine) {
        self.ticker.add(engine);
    }

    /// Waits until one more call may be made; a request only for a while.
    pub(crate) async fn turn(&self) -> Result<SemaphorePermit<'_>, Overloaded> {
        match self.turns.try_acquire() {
            Ok(turn) => Ok(turn),
            Err(_) => timeout(WAIT, self.patient_turn()).await.unwrap_or(Err(Overloaded)),
        }
    }

    /// The same for a message, which would be lost otherwise: however long it takes.
    pub(crate) async fn patient_turn(&self) -> Result<SemaphorePermit<'_>, Overloaded> {
        self.turns.acquire().await.map_err(|_| Overloaded)
    }

    /// Whether at most one call is being made.
    pub(crate) fn last_turn(&self) -> bool {
        self.turns.available_permits() + 1 >= self.max_turns
    }

    /// A store for one instance; waits while there are too many.
    pub(crate) async fn store(&self, engine: &Engine, guest: &Arc<Guest>) -> Result<Store<HostState>, StoreError> {
        let place = match self.places.clone().try_acquire_owned() {
            Ok(place) => place,
            Err(_) => match timeout(WAIT, self.places.clone().acquire_owned()).await {
                Ok(Ok(place)) => place,
                _ => return Err(Overloaded.into()),
            },
        };
        let state = HostState::new(guest, Limits::new(self.max_memory), self.ticker.enter(), place)?;
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.limits);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        Ok(store)
    }
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    #[error("the files of the component can't be opened: {0}")]
    Files(wasmtime::Error),
}
