//! From a component to one instance of it: a place among the instances, a store, limits, permits.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;
use tokio::time::timeout;
use wasmtime::{Engine, Store, UpdateDeadline};

use crate::host::{Guest, HostState};
use crate::limits::Limits;
use crate::permits::{WorkPermit, WorkPermits};
use crate::ticker::Ticker;
use crate::tier::Tier;
use crate::{EngineSettings, RuntimeError};

/// How long a request waits for its permit, and then for a place, before it is refused.
const WAIT: Duration = Duration::from_secs(10);

/// No permit, or no place, became free in time.
#[derive(Debug, thiserror::Error)]
#[error("all instances are in use")]
pub(crate) struct Overloaded;

/// Makes stores; one for the whole app, as the places are.
pub(crate) struct Instances {
    ticker: Ticker,
    /// One for each working instance. There are more places than permits, so that idle instances do
    /// not keep a new instance from being made.
    permits: Arc<WorkPermits>,
    /// For instances, one each as long as it exists: of the first pool, and of the rest.
    places: [Arc<Semaphore>; 2],
    max_memory: Option<u64>,
}

impl Instances {
    pub(crate) fn new(ticker: Ticker, settings: &EngineSettings) -> Self {
        let slots = settings.slots();
        let places = [Tier::First, Tier::Rest].map(|tier| Arc::new(Semaphore::new(tier.of(slots) as usize)));
        let permits = Arc::new(WorkPermits::new(slots as usize / 2));
        Self { ticker, permits, places, max_memory: settings.max_instance_memory }
    }

    /// Interrupts instances of that engine too, so that they take turns.
    pub(crate) fn add(&self, engine: &Engine) {
        self.ticker.add(engine);
    }

    /// Waits for a permit, up to [`WAIT`]. `depth`: how many requests within the app led to this one
    /// ([`crate::internal`]); each of them holds a permit while it waits for this one.
    pub(crate) async fn acquire_permit(&self, depth: u32) -> Result<WorkPermit, Overloaded> {
        match self.permits.try_acquire() {
            Some(permit) => Ok(permit),
            // The requests that wait for this one may hold all permits.
            None if depth as usize >= self.permits.max() => Err(Overloaded),
            None => timeout(WAIT, self.permits.acquire()).await.map_err(|_| Overloaded),
        }
    }

    /// Waits for the permit of a message without a limit: a message that is refused is lost.
    pub(crate) async fn wait_for_permit(&self) -> WorkPermit {
        self.permits.acquire().await
    }

    /// All permits.
    pub(crate) fn permits(&self) -> &Arc<WorkPermits> {
        &self.permits
    }

    /// A place for one instance; waits while there are too many.
    pub(crate) async fn place(&self) -> Result<Place, Overloaded> {
        let [first, rest] = &self.places;
        for (places, tier) in [(first, Tier::First), (rest, Tier::Rest)] {
            if let Ok(permit) = places.clone().try_acquire_owned() {
                return Ok(Place { _permit: permit, tier });
            }
        }
        let waiting = async {
            tokio::select! {
                permit = first.clone().acquire_owned() => (permit, Tier::First),
                permit = rest.clone().acquire_owned() => (permit, Tier::Rest),
            }
        };
        match timeout(WAIT, waiting).await {
            Ok((Ok(permit), tier)) => Ok(Place { _permit: permit, tier }),
            _ => Err(Overloaded),
        }
    }

    /// A store for one instance in that place, of the place's engine.
    pub(crate) fn store(&self, place: Place, engine: &Engine, guest: &Arc<Guest>) -> Result<Placed, StoreError> {
        let state = HostState::new(guest, Limits::new(self.max_memory), self.ticker.enter())?;
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.limits);
        // Unlike a waker that is woken at once this waits until the runtime has looked at its sockets, so that others are heard after each turn.
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::YieldCustom(1, Box::pin(yield_now()))));
        let mut placed = Placed { store, place };
        placed.begin_turn();
        Ok(placed)
    }
}

/// Where an instance may be made.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    /// By which pool.
    pub(crate) tier: Tier,
}

/// A store in its place, which is free only once the instance is gone. A store drops its data before its instances, so a place in there would be
/// another's too early, for whom the pool then has no room.
pub(crate) struct Placed {
    // Dropped in this order.
    store: Store<HostState>,
    place: Place,
}

impl Placed {
    /// Lets the guest compute for one to two ticks before others have their turn: what takes no longer than one is not interrupted by that which happens
    /// to come meanwhile.
    pub(crate) fn begin_turn(&mut self) {
        self.store.set_epoch_deadline(2);
    }

    /// Of its place.
    pub(crate) fn tier(&self) -> Tier {
        self.place.tier
    }
}

impl Deref for Placed {
    type Target = Store<HostState>;

    fn deref(&self) -> &Self::Target {
        &self.store
    }
}

impl DerefMut for Placed {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.store
    }
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    #[error("the files of the component can't be opened: {0}")]
    Files(wasmtime::Error),
    #[error("there are no more instances: {0}")]
    Rest(RuntimeError),
}
