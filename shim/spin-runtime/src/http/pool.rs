//! The instances of a component that can be used again: those that do nothing, and those that wait and would take more meanwhile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use super::Reuse;
use super::session::{Caller, Session};
use super::work::{Instance, Job};
use crate::{Component, report};

pub(super) struct Pool {
    component: Arc<Component>,
    pub(super) reuse: Reuse,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The longest idle first, with the time since when; the last used is used next, so that as few as possible are kept.
    idle: Vec<(Instance, Instant)>,
    /// Whether somebody is there to end the idle ones.
    watched: bool,
    open: Vec<Arc<Session>>,
}

impl Pool {
    pub(super) fn new(component: Arc<Component>, reuse: Reuse) -> Self {
        Self { component, reuse, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An instance that does nothing.
    pub(super) fn idle(&self) -> Option<Instance> {
        self.state().idle.pop().map(|(instance, _)| instance)
    }

    /// Gives the job to an instance that waits for something else and works on requests of that depth, or
    /// gives the job back.
    #[expect(clippy::result_large_err, reason = "a job that is given back goes on to a new instance, as it is")]
    pub(super) fn offer(&self, job: Job, depth: u32) -> Result<Caller, Job> {
        // Locked until the job is given: `HttpHandler::close` finds either the session or the job.
        let mut state = self.state();
        let Some(found) = state.open.iter().rposition(|session| session.depth == depth) else { return Err(job) };
        let session = state.open.remove(found);
        Ok(session.give(job))
    }

    /// That instance would take one more, if that is not known already.
    pub(super) fn open(&self, session: &Arc<Session>) {
        if !session.open() {
            self.state().open.push(session.clone());
        }
    }

    /// That instance would not, after all.
    pub(super) fn close(&self, session: &Arc<Session>) {
        self.state().open.retain(|open| !Arc::ptr_eq(open, session));
    }

    /// Takes back an instance that has nothing left to do, or failed.
    pub(super) fn end(self: &Arc<Self>, instance: Instance, result: wasmtime::Result<()>) {
        if let Err(error) = result {
            report::failure(self.component.id(), &error, instance.store.data().limits.exceeded);
        } else if instance.requests < self.reuse.requests {
            return self.keep(instance);
        }
        // Where others wait, the next instance is made soonest in the place that was just used; where nobody does, the answer goes out first.
        if self.component.instances().permits().taken() <= 1
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move { drop(instance) });
        }
    }

    fn keep(self: &Arc<Self>, instance: Instance) {
        let mut state = self.state();
        state.idle.push((instance, Instant::now()));
        if !state.watched {
            state.watched = true;
            tokio::spawn(end_idle(Arc::downgrade(self)));
        }
    }

    /// Ends what was idle for too long; returns when to look again, if anything is left.
    fn prune(&self) -> Option<Instant> {
        let mut state = self.state();
        let expired = state.idle.iter().take_while(|(_, since)| since.elapsed() >= self.reuse.idle).count();
        let expired: Vec<_> = state.idle.drain(..expired).collect();
        let next = state.idle.first().map(|(_, since)| *since + self.reuse.idle);
        state.watched = next.is_some();
        drop(state);
        drop(expired);
        next
    }
}

async fn end_idle(pool: Weak<Pool>) {
    while let Some(next) = pool.upgrade().and_then(|pool| pool.prune()) {
        sleep_until(next).await;
    }
}
