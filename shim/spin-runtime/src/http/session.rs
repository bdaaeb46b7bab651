//! The session of a working instance: its callers, and whether they still wait.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::task::AtomicWaker;

use super::HttpHandler;
use super::work::Job;

/// An instance from its first request until it has nothing left to do.
pub(super) struct Session {
    pub(super) handler: HttpHandler,
    /// The depth of all its requests ([`crate::internal`]).
    pub(super) depth: u32,
    /// The task that the instance works in.
    pub(super) task: AtomicWaker,
    state: Mutex<State>,
    /// Whether the pool may give it a request, or has given it one that it has not begun.
    open: AtomicBool,
    /// Whether the instance has waited for something since it last began a request. Before that it may be
    /// one that only computes.
    waited: AtomicBool,
    /// Whether a component of WASI 0.2 has set its response.
    responded: AtomicBool,
}

#[derive(Default)]
struct State {
    /// A request that the instance was given and has not begun, with its caller's number.
    job: Option<(u32, Job)>,
    /// Callers so far, wrapping: the number of the latest one.
    callers: u32,
    /// Callers that still wait for their answer, or for the rest of it.
    waiting: u32,
    /// Whether a caller has its whole answer.
    answered: bool,
    /// Whether a caller left before that, and its request was begun.
    abandoned: bool,
}

/// Which callers the instance works for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Demand {
    /// Some callers wait.
    Awaited,
    /// No caller waits: all were answered.
    Answered,
    /// No caller waits: some were answered, others left before that.
    PartlyAbandoned,
    /// No caller waits: all left before they were answered.
    Abandoned,
}

/// The caller of a request. Dropping it means that the caller has left, unless the answer was noted before.
pub(super) struct Caller {
    session: Arc<Session>,
    number: u32,
    end: End,
}

/// How a caller's wait ended.
#[derive(Clone, Copy)]
enum End {
    Left,
    Answered,
    /// The request was given back without being begun.
    GivenBack,
}

impl Session {
    /// Opens the session of an instance that is about to begin a request; returns the request's caller too.
    pub(super) fn new(handler: HttpHandler, depth: u32) -> (Arc<Self>, Caller) {
        let [open, waited, responded] = [false; 3].map(AtomicBool::new);
        let (task, state) = (AtomicWaker::new(), Mutex::default());
        let session = Arc::new(Self { handler, depth, task, state, open, waited, responded });
        let number = session.state().admit();
        (session.clone(), Caller { session, number, end: End::Left })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which callers the instance works for.
    pub(super) fn demand(&self) -> Demand {
        match *self.state() {
            State { waiting: 1.., .. } => Demand::Awaited,
            State { abandoned: false, .. } => Demand::Answered,
            State { answered: true, .. } => Demand::PartlyAbandoned,
            State { .. } => Demand::Abandoned,
        }
    }

    /// Whether a caller has left before it was answered. Its request can't be ended without the instance.
    pub(super) fn has_abandoned(&self) -> bool {
        self.state().abandoned
    }

    /// Notes that the pool may give it requests; returns whether it could before.
    pub(super) fn open(&self) -> bool {
        self.open.swap(true, Relaxed)
    }

    /// Notes that the pool gives it no requests any more; returns whether it could before.
    pub(super) fn close(&self) -> bool {
        self.open.swap(false, Relaxed)
    }

    /// Notes that a request was begun.
    pub(super) fn begin(&self) {
        self.close();
        self.waited.store(false, Relaxed);
    }

    /// Notes that the instance waits for something outside; returns whether it did before.
    pub(super) fn wait(&self) -> bool {
        self.waited.swap(true, Relaxed)
    }

    /// Whether the instance waits for something outside.
    pub(super) fn waits(&self) -> bool {
        self.waited.load(Relaxed)
    }

    /// Notes that a component of WASI 0.2 has set its response.
    pub(super) fn respond(&self) {
        self.responded.store(true, Relaxed);
    }

    /// Whether it has.
    pub(super) fn has_responded(&self) -> bool {
        self.responded.load(Relaxed)
    }

    /// Gives the instance a further request.
    pub(super) fn give(self: Arc<Self>, job: Job) -> Caller {
        let mut state = self.state();
        let number = state.admit();
        state.job = Some((number, job));
        drop(state);
        self.task.wake();
        Caller { session: self, number, end: End::Left }
    }

    /// Takes the request that the instance was given and has not begun.
    pub(super) fn take(&self) -> Option<Job> {
        self.state().job.take().map(|(_, job)| job)
    }

    fn end(&self, number: u32, end: End) {
        let mut state = self.state();
        state.waiting -= 1;
        let unbegun = state.job.take_if(|(given, _)| *given == number);
        match end {
            End::Answered => state.answered = true,
            End::Left if unbegun.is_none() => state.abandoned = true,
            End::Left | End::GivenBack => {}
        }
        let changed = state.waiting == 0 || state.abandoned;
        drop(state);
        if changed {
            self.task.wake();
        }
    }
}

impl State {
    fn admit(&mut self) -> u32 {
        self.waiting += 1;
        self.callers = self.callers.wrapping_add(1);
        self.callers
    }
}

impl Caller {
    /// The session that the request is in.
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Notes that the whole answer has come, or an error instead.
    pub(super) fn answered(mut self) {
        self.end = End::Answered;
    }

    /// Notes that the request was given back without being begun.
    pub(super) fn given_back(mut self) {
        self.end = End::GivenBack;
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.session.end(self.number, self.end);
    }
}
