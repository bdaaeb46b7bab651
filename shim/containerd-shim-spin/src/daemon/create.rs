//! Creating a container: a helper process does it; here it is asked, heard and, where it fails, cleaned up after.

use std::collections::hash_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use containerd_shim_protos::api::CreateTaskRequest;
use containerd_shim_protos::events::task::{TaskCreate, TaskIO};
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::shim::oci::Options;
use containerd_shim_protos::topics;

use super::console::{Console, Expected};
use super::error::TaskError;
use super::helper::{self, Reports};
use super::process::{Paths, Process};
use super::stdio::{self, Held};
use super::task::{Slot, Task, Tasks};
use crate::bundle::{self, Mount, TaskRequest};
use crate::cgroup::Cgroup;
use crate::report::Report;
use crate::{create, shim};

/// What a helper made.
struct Made {
    pid: u32,
    spin: bool,
    cgroup: Cgroup,
    reports: Reports,
    streams: (Held, Option<Console>),
}

impl Tasks {
    /// Creates a container; its process then waits for its start. Nothing of it is left where this fails.
    pub async fn create(self: &Arc<Self>, request: CreateTaskRequest) -> Result<u32, TaskError> {
        let (id, bundle) = (request.id.clone(), PathBuf::from(&request.bundle));
        match self.slots().entry(id.clone()) {
            Entry::Occupied(_) => return Err(TaskError::Exists(id)),
            Entry::Vacant(slot) => drop(slot.insert(Slot::Creating(0))),
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
        let (opened, console) = match request.terminal {
            true => (stdio::none(), Some(Expected::at(bundle::console_socket(bundle, "")))),
            false => (stdio::open(&request.stdin, &request.stdout, &request.stderr), None),
        };
        let (held, streams) = opened.map_err(TaskError::io("opening the container's streams"))?;
        let console = console.transpose().map_err(TaskError::io("preparing the terminal"))?;
        let spawned = helper::spawn(create::VERB, None, bundle, streams);
        let (helper, mut reports) = spawned.map_err(TaskError::io("starting the helper"))?;
        self.slots().insert(request.id.clone(), Slot::Creating(helper));
        let report = reports.next().await;
        // Until it has ended, the container's process is its child and not ours.
        let _code = self.reaper.exit_of(helper).await;
        match report {
            Some(Report::Created { pid, spin, cgroup }) => {
                let console = console.map(|console| console.take(&request.stdin, &request.stdout)).transpose();
                let console = console.map_err(TaskError::io("taking over the terminal"))?;
                Ok(Made { pid, spin, cgroup, reports, streams: (held, console) })
            }
            Some(Report::Error { message }) => Err(TaskError::Container(message)),
            _ => Err(TaskError::Container("the helper that creates the container was killed".to_owned())),
        }
    }

    fn task_request(&self, request: &CreateTaskRequest) -> Result<TaskRequest, TaskError> {
        let options = match request.options.as_ref() {
            // The only kind that containerd sends to runtimes it does not know: the one of runc.
            Some(any) if any.type_url.ends_with("containerd.runc.v1.Options") => Options::parse_from_bytes(&any.value),
            _ => Ok(Options::default()),
        };
        let options = options.map_err(|error| TaskError::Invalid(format!("the runtime's options: {error}")))?;
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
        let Made { pid, spin, cgroup, reports, streams } = made;
        let (stdin, stdout, stderr) = (request.stdin.clone(), request.stdout.clone(), request.stderr.clone());
        let paths = Paths { stdin, stdout, stderr, terminal: request.terminal };
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
            init: Arc::new(Process::created(pid, paths, streams)),
            cgroup,
            spin,
            reports: tokio::sync::Mutex::new(reports),
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
        self.events().publish(topics::TASK_CREATE_EVENT_TOPIC, &event);
        bundle::note_pid(&task.bundle, pid);
        log::info!(id = request.id, pid, spin; "created");
        self.slots().insert(request.id.clone(), Slot::Ready(task.clone()));
        let (tasks, exit) = (self.clone(), self.reaper.exit_of(pid));
        tokio::spawn(async move {
            if let Ok(exit) = exit.await {
                tasks.ended(&task, exit).await;
            }
        });
        pid
    }
}

/// Waits and retries, so not on the daemon's own thread.
async fn clean_up(bundle: PathBuf) {
    match tokio::task::spawn_blocking(move || shim::clean_up(&bundle)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => log::error!("cleaning up: {error:#}"),
        Err(error) => log::error!("cleaning up: {error}"),
    }
}
