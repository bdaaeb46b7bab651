//! The tasks of the pod, and the life of one: created, started, ended, deleted.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use containerd_shim_protos::api::Status;
use containerd_shim_protos::events::task::{TaskDelete, TaskExit, TaskPaused, TaskResumed, TaskStart};
use rustix::process::Signal;
use tokio::sync::watch;

use super::error::TaskError;
use super::events::Events;
use super::helper::{Helper, Line};
use super::oom::OomKills;
use super::process::Process;
use super::reaper::{self, Exit, Reaper};
use super::timestamp;
use crate::bundle;
use crate::cgroup::Cgroup;
use crate::link::{LaterHooks, Order, Report, Stage, Work, Workload};
use crate::shim;
use crate::stdio::Paths;
use crate::sys;

/// How long a start waits for an app to be ready; a slower one goes on starting, and containerd isn't kept waiting.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long the processes of a container that ended may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// All tasks of the pod, and what they share.
#[derive(Debug)]
pub struct Tasks {
    /// containerd's namespace.
    pub namespace: String,
    /// containerd's gRPC socket.
    pub containerd: String,
    pub(super) reaper: Arc<Reaper>,
    slots: Mutex<HashMap<String, Slot>>,
    /// A helper that waits for the next container to be created.
    ahead: Mutex<Option<Helper>>,
    events: Arc<Events>,
    /// How many kills for want of memory were reported, of all containers.
    pub(super) oom_kills: Arc<AtomicU64>,
    /// Where the daemon listens.
    socket: PathBuf,
    shut_down: watch::Sender<bool>,
}

/// A place in the table.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    /// Being created by the process with this pidfd; none before it is started and after it has ended.
    Creating(Option<Arc<OwnedFd>>),
    Ready(Arc<Task>),
}

/// One container.
#[derive(Debug)]
pub struct Task {
    /// Its id.
    pub id: String,
    /// Its bundle.
    pub bundle: PathBuf,
    /// Its first process.
    pub init: Arc<Process>,
    /// Its cgroup.
    pub cgroup: Cgroup,
    /// What runs in it.
    pub workload: Workload,
    /// Whether hooks are to be run when it has started, and when it was deleted.
    pub hooks: LaterHooks,
    pub(super) line: tokio::sync::Mutex<Line>,
    pub(super) oom_kills: Arc<OomKills>,
    pub(super) paused: AtomicBool,
    pub(super) execs: Mutex<HashMap<String, Arc<Process>>>,
}

impl Tasks {
    /// An empty pod.
    pub fn new(namespace: String, containerd: String, ttrpc: &str, socket: PathBuf) -> Result<Arc<Self>> {
        let events = Arc::new(Events::new(&namespace, ttrpc));
        let (slots, ahead, shut_down) = (Mutex::default(), Mutex::default(), watch::Sender::new(false));
        Ok(Arc::new(Self {
            namespace,
            containerd,
            reaper: Reaper::start()?,
            slots,
            ahead,
            events,
            oom_kills: Arc::default(),
            socket,
            shut_down,
        }))
    }

    /// Where events go.
    pub fn events(&self) -> &Arc<Events> {
        &self.events
    }

    /// Waits for containerd's word that the daemon may end.
    pub async fn until_shut_down(&self) {
        let mut shut_down = self.shut_down.subscribe();
        let _never_dropped = shut_down.wait_for(|down| *down).await;
    }

    /// Ends the daemon, unless it still has tasks: containerd asks after each of them.
    pub fn shut_down(&self) {
        if self.slots().is_empty() && !self.shut_down.send_replace(true) {
            // Before the answer: once containerd has it, a container of the same id may come, whose `start` must find no
            // daemon here. Only once: the path may be another daemon's by the time this one has ended.
            let _gone_already = fs::remove_file(&self.socket);
        }
    }

    /// A task that exists.
    pub fn get(&self, id: &str) -> Result<Arc<Task>, TaskError> {
        match self.slots().get(id) {
            Some(Slot::Ready(task)) => Ok(task.clone()),
            _ => Err(TaskError::NoTask(id.to_owned())),
        }
    }

    pub(super) fn slots(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the helper for a container that will surely come, so that it need not be waited for.
    pub(super) fn start_ahead(&self) {
        match Helper::start() {
            Ok(helper) => self.has_ahead(helper),
            Err(error) => log::warn!("starting a helper: {error}"),
        }
    }

    /// Keeps a helper for the next container.
    pub fn has_ahead(&self, helper: Helper) {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = Some(helper);
    }

    /// A helper that has this order.
    pub(super) async fn helper(&self, order: &Order, fds: &[BorrowedFd<'_>]) -> io::Result<Helper> {
        let ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut helper) = ahead {
            // Unless it was killed while it waited.
            if helper.order(order, fds).await.is_ok() {
                return Ok(helper);
            }
        }
        let mut helper = Helper::start()?;
        helper.order(order, fds).await?;
        Ok(helper)
    }

    /// Lets a created container run; done when an app listens, or when a program is executed.
    pub async fn start(&self, id: &str) -> Result<u32, TaskError> {
        let task = self.get(id)?;
        let mut line = task.line.lock().await;
        if task.init.exit().is_some() || !task.init.start() {
            return Err(TaskError::State { id: id.to_owned(), why: "not in the state of being created" });
        }
        if task.workload != Workload::Spin {
            bundle::release(&bundle::container_dir(&task.bundle, id))
                .map_err(TaskError::io("starting the container's process"))?;
        }
        if task.is_spin() {
            line.start().await;
        }
        let report = tokio::time::timeout(READY_WITHIN, line.next()).await;
        let pid = task.init.pid();
        match report {
            Ok(Some(Report::Error { message })) => return Err(TaskError::Container(message)),
            Ok(Some(Report::Failed { code, message })) => log::warn!(id, code; "app failed to start: {message}"),
            Ok(Some(Report::Ready)) => log::info!(id, pid; "app ready"),
            Ok(_) if task.is_spin() => log::warn!(id, pid; "app ended before it was ready"),
            Ok(_) => log::info!(id, pid; "started"),
            Err(_) => log::warn!(id, pid; "app still not ready"),
        }
        if task.hooks.post_start
            && let Err(error) = self.run_hooks(&task.bundle, Stage::PostStart, Some(pid)).await
        {
            // As under runc: what a hook was to prepare is missing.
            task.cgroup.kill();
            return Err(error);
        }
        self.events.publish(&TaskStart { container_id: id.to_owned(), pid, ..Default::default() });
        Ok(pid)
    }

    /// Has a helper run the hooks of a stage.
    async fn run_hooks(&self, bundle: &Path, stage: Stage, pid: Option<u32>) -> Result<(), TaskError> {
        self.have_done(bundle, Work::Hooks(stage, pid)).await
    }

    /// Sets what the message, a spec's limits as JSON, has, and leaves what it hasn't.
    pub async fn update(&self, id: &str, resources: &[u8]) -> Result<(), TaskError> {
        let task = self.get(id)?;
        let resources = serde_json::from_slice(resources);
        let resources = resources.map_err(|error| TaskError::Invalid(format!("the limits are malformed: {error}")))?;
        self.have_done(&task.bundle, Work::Update(task.cgroup.clone(), Box::new(resources))).await?;
        if task.is_spin() {
            // Later, where a start is under way.
            tokio::spawn(async move { task.tell_cpus().await });
        }
        Ok(())
    }

    /// Has a helper do what has no result.
    async fn have_done(&self, bundle: &Path, work: Work) -> Result<(), TaskError> {
        let order = Order { bundle: bundle.to_owned(), streams: Paths::default(), work };
        let helper = self.helper(&order, &[]).await.map_err(TaskError::io("starting the helper"))?;
        let Helper { pid: helper, mut line, .. } = helper;
        let mut ended = self.reaper.exit_of(helper);
        let report = line.next_of(&mut ended).await;
        reaper::over(ended).await;
        match report {
            Some(Report::Done) => Ok(()),
            Some(Report::Error { message }) => Err(TaskError::Container(message)),
            _ => Err(TaskError::Container("the helper that was to do it was killed".to_owned())),
        }
    }

    /// Runs when the first process has ended: takes the rest of the container with it, and tells containerd.
    pub(super) async fn ended(&self, task: &Task, exit: Exit) {
        // A start that is under way has its event first.
        let _start = task.line.lock().await;
        let deadline = Instant::now() + GONE_WITHIN;
        while !task.cgroup.pids().is_empty() && Instant::now() < deadline {
            task.cgroup.kill();
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let (id, pid) = (task.id.clone(), task.init.pid());
        task.oom_kills.report_at_end(&self.events, &id, &task.cgroup, &exit);
        log::info!(id, pid, status = exit.status; "ended");
        let (container_id, exited_at) = (id.clone(), Some(timestamp(exit.at)).into());
        let event = TaskExit { container_id, id, pid, exit_status: exit.status, exited_at, ..Default::default() };
        task.init.ended(exit).await;
        self.events.publish(&event);
    }

    /// Forgets a task that has ended, or was never started, and everything it had.
    pub async fn delete(&self, id: &str) -> Result<(u32, Exit), TaskError> {
        self.abandon_creation(id).await;
        let task = self.get(id)?;
        if !task.init.was_started() {
            let _ended_already = task.init.signal(id, Signal::KILL.as_raw().cast_unsigned());
        } else if task.init.exit().is_none() {
            return Err(TaskError::State { id: id.to_owned(), why: "still running" });
        }
        let exit = task.init.wait().await;
        remove(&task).await?;
        task.init.logged().await;
        if task.hooks.post_stop
            && let Err(error) = self.run_hooks(&task.bundle, Stage::PostStop, None).await
        {
            // The container is gone: its deletion has not failed.
            log::warn!(id; "{:?}", error.to_string());
        }
        bundle::forget(&task.bundle).map_err(TaskError::io("removing the state"))?;
        let event = TaskDelete {
            container_id: id.to_owned(),
            pid: task.init.pid(),
            exit_status: exit.status,
            exited_at: Some(timestamp(exit.at)).into(),
            ..Default::default()
        };
        self.slots().remove(id);
        self.events.publish(&event);
        log::info!(id; "deleted");
        Ok((task.init.pid(), exit))
    }

    /// Stops a helper that is still at work for this id: whoever asked has given up.
    async fn abandon_creation(&self, id: &str) {
        loop {
            let helper = match self.slots().get(id) {
                Some(Slot::Creating(helper)) => helper.clone(),
                _ => return,
            };
            if let Some(helper) = helper {
                let _ended_already = sys::signal(helper.as_fd(), Signal::KILL.as_raw().cast_unsigned());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Stops all processes of a task where they stand, or lets them go on.
    pub fn pause(&self, id: &str, pause: bool) -> Result<(), TaskError> {
        let task = self.get(id)?;
        if task.init.status() != Status::RUNNING || task.paused.load(Ordering::Relaxed) == pause {
            return Err(TaskError::State { id: id.to_owned(), why: if pause { "not running" } else { "not paused" } });
        }
        task.cgroup.freeze(pause).map_err(TaskError::io("the cgroup's freezer"))?;
        task.paused.store(pause, Ordering::Relaxed);
        let container_id = id.to_owned();
        if pause {
            self.events.publish(&TaskPaused { container_id, ..Default::default() });
        } else {
            self.events.publish(&TaskResumed { container_id, ..Default::default() });
        }
        Ok(())
    }

    /// Lets a paused task go on, because it was killed.
    pub fn thaw(&self, task: &Task) {
        if task.paused.swap(false, Ordering::Relaxed) {
            let _its_end_tells_the_rest = task.cgroup.freeze(false);
        }
    }
}

impl Task {
    /// A program run by exec.
    pub fn exec(&self, exec_id: &str) -> Result<Arc<Process>, TaskError> {
        let found = self.execs().get(exec_id).cloned();
        found.ok_or_else(|| TaskError::NoProcess { task: self.id.clone(), exec: exec_id.to_owned() })
    }

    /// Fails unless a further program can run in it now.
    pub(super) fn takes_programs(&self) -> Result<(), TaskError> {
        let refused = |why| Err(TaskError::State { id: self.id.clone(), why });
        match self.status() {
            // Its end is noted only once the rest of the container has ended too.
            Status::RUNNING if self.init.exists().map_err(TaskError::io("the container's init process"))? => Ok(()),
            Status::PAUSED => refused("cannot exec in a paused container"),
            Status::CREATED => refused("cannot exec in a container that was not started"),
            _ => refused("cannot exec in a container that has ended"),
        }
    }

    /// All of them.
    pub(super) fn execs(&self) -> MutexGuard<'_, HashMap<String, Arc<Process>>> {
        self.execs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells its app how many processors it has now, which the app can't read itself.
    async fn tell_cpus(&self) {
        let line = self.line.lock().await;
        match self.cgroup.cpus() {
            Ok(cpus) => line.resize(cpus),
            // A node without this controller, or a container that has ended.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => log::warn!(id = self.id; "reading the quota of processors: {error}"),
        }
    }

    /// Whether its process tells when it is ready.
    pub(super) fn is_spin(&self) -> bool {
        matches!(self.workload, Workload::Spin | Workload::HookedSpin)
    }

    /// What containerd calls its state.
    pub fn status(&self) -> Status {
        match self.init.status() {
            Status::RUNNING if self.paused.load(Ordering::Relaxed) => Status::PAUSED,
            status => status,
        }
    }
}

async fn remove(task: &Task) -> Result<(), TaskError> {
    let deadline = Instant::now() + GONE_WITHIN;
    loop {
        match task.cgroup.remove() {
            Err(_) if Instant::now() < deadline => tokio::time::sleep(LOOK_AGAIN).await,
            result => break result.map_err(TaskError::io("removing the cgroup"))?,
        }
        task.cgroup.kill();
    }
    shim::unmount_rootfs(&task.bundle).map_err(|error| TaskError::Container(format!("{error:#}")))
}
