//! From a component to one instance of it: a place among the instances, a store, limits, turns.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::task::yield_now;
use tokio::time::timeout;
use wasmtime::{Engine, Store, UpdateDeadline};

use crate::host::{Guest, HostState};
use crate::limits::Limits;
use crate::ticker::Ticker;
use crate::tier::Tier;
use crate::{EngineSettings, RuntimeError};

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
    /// For instances, one each as long as it exists: of the first pool, and of the rest.
    places: [Arc<Semaphore>; 2],
    max_memory: Option<u64>,
}

impl Instances {
    pub(crate) fn new(ticker: Ticker, settings: &EngineSettings) -> Self {
        let slots = settings.slots();
        let places = [Tier::First, Tier::Rest].map(|tier| Arc::new(Semaphore::new(tier.of(slots) as usize)));
        let (max_turns, max_memory) = (slots as usize / 2, settings.max_instance_memory);
        let turns = Semaphore::new(max_turns);
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
