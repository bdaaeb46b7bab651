//! From a component to one instance of it: a place among the instances, a store, limits, turns.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;
use wasmtime::{Engine, Store};

use crate::host::{Guest, HostState};
use crate::limits::Limits;
use crate::ticker::Ticker;

/// How long a request waits for a place before it is refused.
const WAIT: Duration = Duration::from_secs(10);

/// No place became free in time.
#[derive(Debug, thiserror::Error)]
#[error("all {0} instances are in use")]
pub(crate) struct Overloaded(u32);

/// Makes stores; one for the whole app, as the places are.
pub(crate) struct Instances {
    engine: Engine,
    ticker: Ticker,
    places: Arc<Semaphore>,
    max_instances: u32,
    max_memory: Option<u64>,
}

impl Instances {
    pub(crate) fn new(engine: &Engine, ticker: Ticker, max_instances: u32, max_memory: Option<u64>) -> Self {
        let max_instances = max_instances.max(1);
        let places = Arc::new(Semaphore::new(max_instances as usize));
        Self { engine: engine.clone(), ticker, places, max_instances, max_memory }
    }

    /// A store for one instance; waits while there are too many.
    pub(crate) async fn store(&self, guest: &Arc<Guest>) -> Result<Store<HostState>, StoreError> {
        let place = match self.places.clone().try_acquire_owned() {
            Ok(place) => place,
            Err(_) => match timeout(WAIT, self.places.clone().acquire_owned()).await {
                Ok(Ok(place)) => place,
                _ => return Err(Overloaded(self.max_instances).into()),
            },
        };
        let state = HostState::new(guest, Limits::new(self.max_memory), self.ticker.enter(), place)?;
        let mut store = Store::new(&self.engine, state);
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
