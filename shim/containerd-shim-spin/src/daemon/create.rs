//! Creating a container: a helper process does it; here it is asked, heard and, where it fails, cleaned up after.

use std::collections::hash_map::Entry;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use containerd_shim_protos::api::CreateTaskRequest;
use containerd_shim_protos::events::task::{TaskCreate, TaskIO};

use super::console::Expected;
use super::error::TaskError;
use super::helper::{Helper, Line};
use super::logger::{self, Logger};
use super::oom::OomKills;
use super::options::RuntimeOptions;
use super::process::{Process, Streams};
use super::reaper;
use super::task::{Slot, Task, Tasks};
use crate::bundle::{self, Mount, TaskRequest};
use crate::cgroup::Cgroup;
use crate::link::{LaterHooks, Order, Report, Work, Workload};
use crate::shim;
use crate::stdio::{Held, Paths};

/// What a helper made.
struct Made {
    pid: u32,
    handle: Option<OwnedFd>,
    workload: Workload,
    cgroup: Cgroup,
    hooks: LaterHooks,
    line: Line,
    streams: Streams,
}

impl Tasks {
    /// Creates a container; its process then waits for its start. Nothing of it is left where this fails.
    pub async fn create(self: &Arc<Self>, request: CreateTaskRequest) -> Result<u32, TaskError> {
        let (id, bundle) = (request.id.clone(), PathBuf::from(&request.bundle));
        match self.slots().entry(id.clone()) {
            Entry::Occupied(_) => return Err(TaskError::Exists(id)),
            Entry::Vacant(slot) => drop(slot.insert(Slot::Creating(None))),
        }
        // Its process may end before its id is known here.
        let expecting = self.reaper.expect();
        let made = self.make(&request, &bundle).await;
        let result = match made {
            Ok(made) => Ok(self.register(&request, bundle, made)),
            Err(error) => {
                log::warn!(id; "not created: {error}");
                clean_up(bundle).await;
                self.slots().remove(&id);
                Err(error)
            }
        };
        drop(expecting);
        result
    }

    async fn make(&self, request: &CreateTaskRequest, bundle: &Path) -> Result<Made, TaskError> {
        if !request.checkpoint.is_empty() {
            return Err(TaskError::Unimplemented("restoring a checkpoint"));
        }
        self.task_request(request)?.save(bundle).map_err(TaskError::io("writing to the bundle"))?;
        fs::create_dir_all(bundle::state_dir(bundle)).map_err(TaskError::io("writing to the bundle"))?;
        let streams = paths_of(request);
        let mut held = Held::open(&streams).map_err(TaskError::io("opening the container's streams"))?;
        let logged = Logger::start(&streams.stdout, &request.id, &self.namespace, &self.reaper).await?;
        let (logger, outputs) = logged.unzip();
        let console = request.terminal.then(|| Expected::at(bundle::console_socket(bundle, ""))).transpose();
        let console = console.map_err(TaskError::io("preparing the terminal"))?;
        let order = Order { bundle: bundle.to_owned(), streams, work: Work::Create };
        let fds = logger::borrowed(outputs.as_ref());
        let helper = self.helper(&order, &fds).await.map_err(TaskError::io("starting the helper"))?;
        let Helper { pid: helper, handle, mut line } = helper;
        self.slots().insert(request.id.clone(), Slot::Creating(Some(handle)));
        let mut ended = self.reaper.exit_of(helper);
        match line.next_of(&mut ended).await {
            Some(Report::Created { pid, workload, cgroup, hooks }) => {
                let handle = self.reaper.handle_of(pid).map_err(TaskError::io("the container's process"))?;
                let take = |console: Expected| console.take(&request.stdin, &request.stdout, outputs.as_ref());
                let console = console.map(take).transpose().map_err(TaskError::io("taking over the terminal"))?;
                held.hold(outputs.into_iter().flatten());
                Ok(Made { pid, handle, workload, cgroup, hooks, line, streams: Streams { held, console, logger } })
            }
            report => {
                // What it made is removed next: nothing may be added then.
                reaper::over(ended).await;
                self.slots().insert(request.id.clone(), Slot::Creating(None));
                Err(TaskError::Container(match report {
                    Some(Report::Error { message }) => message,
                    _ => "the helper that creates the container was killed".to_owned(),
                }))
            }
        }
    }

    fn task_request(&self, request: &CreateTaskRequest) -> Result<TaskRequest, TaskError> {
        let options = RuntimeOptions::read(request.options.as_ref());
        let options = options.map_err(|error| TaskError::Invalid(error.to_string()))?;
        let mounts = request.rootfs.iter();
        Ok(TaskRequest {
            id: request.id.clone(),
            namespace: self.namespace.clone(),
            containerd: self.containerd.clone(),
            rootfs: mounts
                .map(|m| Mount { kind: m.type_.clone(), source: m.source.clone(), options: m.options.clone() })
                .collect(),
            systemd_cgroup: options.systemd_cgroup,
            terminal: request.terminal,
        })
    }

    fn register(self: &Arc<Self>, request: &CreateTaskRequest, bundle: PathBuf, made: Made) -> u32 {
        let Made { pid, handle, workload, cgroup, hooks, line, streams } = made;
        let paths = paths_of(request);
        let io = TaskIO {
            stdin: paths.stdin.clone(),
            stdout: paths.stdout.clone(),
            stderr: paths.stderr.clone(),
            terminal: paths.terminal,
            ..Default::default()
        };
        let task = Arc::new(Task {
            id: request.id.clone(),
            bundle,
            init: Arc::new(Process::created(pid, handle, paths, streams)),
            oom_kills: Arc::new(OomKills::new(&self.oom_kills, &cgroup)),
            cgroup,
            workload,
            hooks,
            line: tokio::sync::Mutex::new(line),
            paused: AtomicBool::new(false),
            execs: Mutex::default(),
        });
        let event = TaskCreate {
            container_id: request.id.clone(),
            bundle: request.bundle.clone(),
            rootfs: request.rootfs.clone(),
            io: Some(io).into(),
            pid,
            ..Default::default()
        };
        self.events().publish(&event);
        bundle::note_pid(&task.bundle, pid);
        log::info!(id = request.id, pid, workload:?; "created");
        self.slots().insert(request.id.clone(), Slot::Ready(task.clone()));
        if workload == Workload::Sandbox {
            self.start_ahead();
        }
        task.oom_kills.watch(self.events(), &task.id, &task.cgroup);
        let (tasks, exit) = (self.clone(), self.reaper.exit_of(pid));
        tokio::spawn(async move {
            if let Ok(exit) = exit.await {
                tasks.ended(&task, exit).await;
            }
        });
        pid
    }
}

fn paths_of(request: &CreateTaskRequest) -> Paths {
    let (stdin, stdout, stderr) = (request.stdin.clone(), request.stdout.clone(), request.stderr.clone());
    Paths { stdin, stdout, stderr, terminal: request.terminal }
}

/// Waits and retries, so not on the daemon's own thread.
async fn clean_up(bundle: PathBuf) {
    match tokio::task::spawn_blocking(move || shim::clean_up(&bundle)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => log::error!("cleaning up: {error:#}"),
        Err(error) => log::error!("cleaning up: {error}"),
    }
}
