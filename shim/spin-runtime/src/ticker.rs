//! Turns of running guests: the engines' epochs move while an instance exists, and only then, so that an idle app wakes nobody.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

/// How long a guest may compute before others on its thread get their turn; in its first turn up to twice as long.
const TICK: Duration = Duration::from_millis(10);

/// The thread that moves the epochs, asleep while no [`Ticking`] exists.
pub(crate) struct Ticker {
    state: Arc<State>,
    thread: Thread,
}

#[derive(Default)]
struct State {
    engines: Mutex<Vec<EngineWeak>>,
    instances: AtomicUsize,
    asleep: AtomicBool,
    ended: AtomicBool,
}

/// Held by each instance.
pub(crate) struct Ticking(Arc<State>);

impl Ticker {
    pub(crate) fn start() -> io::Result<Self> {
        let state = Arc::<State>::default();
        let shared = state.clone();
        let thread = thread::Builder::new().name("epoch".to_owned()).stack_size(64 << 10);
        let thread = thread.spawn(move || tick(&shared))?.thread().clone();
        Ok(Self { state, thread })
    }

    /// From now on that engine's epoch moves too.
    pub(crate) fn add(&self, engine: &Engine) {
        self.state.engines.lock().unwrap_or_else(PoisonError::into_inner).push(engine.weak());
    }

    pub(crate) fn enter(&self) -> Ticking {
        self.state.instances.fetch_add(1, SeqCst);
        if self.state.asleep.load(SeqCst) {
            self.thread.unpark();
        }
        Ticking(self.state.clone())
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.ended.store(true, SeqCst);
        self.thread.unpark();
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.instances.fetch_sub(1, SeqCst);
    }
}

fn tick(state: &State) {
    while !state.ended.load(SeqCst) {
        if state.instances.load(SeqCst) > 0 {
            // First the time, then the tick: a guest that has only begun has had no turn yet.
            thread::sleep(TICK);
            for engine in &*state.engines.lock().unwrap_or_else(PoisonError::into_inner) {
                if let Some(engine) = engine.upgrade() {
                    engine.increment_epoch();
                }
            }
            continue;
        }
        // Announced first, looked at again after: whoever enters in between sees it asleep and wakes it.
        state.asleep.store(true, SeqCst);
        if state.instances.load(SeqCst) == 0 && !state.ended.load(SeqCst) {
            thread::park();
        }
        state.asleep.store(false, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn reaches(deadline: Duration, condition: impl Fn() -> bool) -> bool {
        let start = Instant::now();
        while start.elapsed() < deadline {
            if condition() {
                return true;
            }
            thread::yield_now();
        }
        false
    }

    #[test]
    fn it_sleeps_exactly_while_there_is_no_instance() {
        let ticker = Ticker::start().unwrap();
        let asleep = || ticker.state.asleep.load(SeqCst);
        for _ in 0..3 {
            assert!(reaches(Duration::from_secs(10), asleep));
            let instance = ticker.enter();
            assert!(reaches(Duration::from_secs(10), || !asleep()));
            drop(instance);
        }
    }
}
