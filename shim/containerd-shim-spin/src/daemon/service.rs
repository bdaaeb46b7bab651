//! containerd's task API.
//!
//! Every call is here: the generated defaults answer "not found", which containerd takes for "no such container" and cleans up.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use containerd_shim_protos::api::{
    CheckpointTaskRequest, CloseIORequest, ConnectRequest, ConnectResponse, CreateTaskRequest, CreateTaskResponse, DeleteRequest,
    DeleteResponse, Empty, ExecProcessRequest, KillRequest, PauseRequest, PidsRequest, PidsResponse, ProcessInfo,
    ResizePtyRequest, ResumeRequest, ShutdownRequest, StartRequest, StartResponse, StateRequest, StateResponse, StatsRequest,
    StatsResponse, UpdateTaskRequest, WaitRequest, WaitResponse,
};
use containerd_shim_protos::shim_async;
use containerd_shim_protos::ttrpc::{self, asynchronous::TtrpcContext};
use rustix::process::Signal;

use super::error::TaskError;
use super::process::Process;
use super::stats::stats;
use super::task::Tasks;
use super::timestamp;

/// The kernel's last signal (`SIGRTMAX`).
const MAX_SIGNAL: u32 = 64;

/// Answers containerd.
#[derive(Debug)]
pub struct Service {
    tasks: Arc<Tasks>,
}

impl Service {
    /// Speaks for these tasks.
    pub fn new(tasks: Arc<Tasks>) -> Self {
        Self { tasks }
    }

    /// The process a call means: a container's first, where no exec is named.
    fn process(&self, id: &str, exec: &str) -> Result<Arc<Process>, TaskError> {
        let task = self.tasks.get(id)?;
        if exec.is_empty() { Ok(task.init.clone()) } else { task.exec(exec) }
    }
}

/// Runs to its end even where containerd gives up the call, which would drop the call's own future half-way.
async fn finish<T: Send + 'static>(work: impl Future<Output = Result<T, TaskError>> + Send + 'static) -> Result<T, TaskError> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(TaskError::Container(error.to_string())))
}

#[async_trait]
impl shim_async::Task for Service {
    async fn state(&self, _: &TtrpcContext, request: StateRequest) -> ttrpc::Result<StateResponse> {
        let task = self.tasks.get(&request.id)?;
        let process = self.process(&request.id, &request.exec_id)?;
        let status = if request.exec_id.is_empty() { task.status() } else { process.status() };
        let mut response = StateResponse {
            id: request.id,
            exec_id: request.exec_id,
            bundle: task.bundle.to_string_lossy().into_owned(),
            pid: process.pid(),
            status: status.into(),
            stdin: process.paths.stdin.clone(),
            stdout: process.paths.stdout.clone(),
            stderr: process.paths.stderr.clone(),
            terminal: process.paths.terminal,
            ..Default::default()
        };
        if let Some(exit) = process.exit() {
            response.exit_status = exit.status;
            response.exited_at = Some(timestamp(exit.at)).into();
        }
        Ok(response)
    }

    async fn create(&self, _: &TtrpcContext, request: CreateTaskRequest) -> ttrpc::Result<CreateTaskResponse> {
        let tasks = self.tasks.clone();
        let pid = finish(async move { tasks.create(request).await }).await?;
        Ok(CreateTaskResponse { pid, ..Default::default() })
    }

    async fn start(&self, _: &TtrpcContext, request: StartRequest) -> ttrpc::Result<StartResponse> {
        self.process(&request.id, &request.exec_id)?;
        let tasks = self.tasks.clone();
        let pid = finish(async move {
            match request.exec_id.is_empty() {
                true => tasks.start(&request.id).await,
                false => tasks.start_exec(&request.id, &request.exec_id).await,
            }
        });
        let pid = pid.await?;
        Ok(StartResponse { pid, ..Default::default() })
    }

    async fn delete(&self, _: &TtrpcContext, request: DeleteRequest) -> ttrpc::Result<DeleteResponse> {
        let tasks = self.tasks.clone();
        let (pid, exit) = match request.exec_id.is_empty() {
            true => finish(async move { tasks.delete(&request.id).await }).await?,
            false => finish(async move { tasks.delete_exec(&request.id, &request.exec_id).await }).await?,
        };
        Ok(DeleteResponse { pid, exit_status: exit.status, exited_at: Some(timestamp(exit.at)).into(), ..Default::default() })
    }

    async fn pids(&self, _: &TtrpcContext, request: PidsRequest) -> ttrpc::Result<PidsResponse> {
        let task = self.tasks.get(&request.id)?;
        let processes = task.cgroup.pids().into_iter().map(|pid| ProcessInfo { pid, ..Default::default() });
        Ok(PidsResponse { processes: processes.collect(), ..Default::default() })
    }

    async fn pause(&self, _: &TtrpcContext, request: PauseRequest) -> ttrpc::Result<Empty> {
        self.tasks.pause(&request.id, true)?;
        Ok(Empty::new())
    }

    async fn resume(&self, _: &TtrpcContext, request: ResumeRequest) -> ttrpc::Result<Empty> {
        self.tasks.pause(&request.id, false)?;
        Ok(Empty::new())
    }

    async fn checkpoint(&self, _: &TtrpcContext, _: CheckpointTaskRequest) -> ttrpc::Result<Empty> {
        Err(TaskError::Unimplemented("checkpoint").into())
    }

    async fn kill(&self, _: &TtrpcContext, request: KillRequest) -> ttrpc::Result<Empty> {
        let process = self.process(&request.id, &request.exec_id)?;
        let task = self.tasks.get(&request.id)?;
        let is_kill = request.signal == Signal::KILL.as_raw().cast_unsigned();
        match (request.all && request.exec_id.is_empty(), is_kill) {
            (true, true) => task.cgroup.kill(),
            (true, false) if request.signal <= MAX_SIGNAL => task.cgroup.signal(request.signal),
            (true, false) => return Err(TaskError::Invalid(format!("{} is no signal", request.signal)).into()),
            (false, _) => process.signal(&request.id, request.signal)?,
        }
        if is_kill && request.exec_id.is_empty() {
            // In version 1 of cgroups a process that stands still is killed only when it goes on.
            self.tasks.thaw(&task);
        }
        Ok(Empty::new())
    }

    async fn exec(&self, _: &TtrpcContext, request: ExecProcessRequest) -> ttrpc::Result<Empty> {
        self.tasks.exec(request)?;
        Ok(Empty::new())
    }

    async fn resize_pty(&self, _: &TtrpcContext, request: ResizePtyRequest) -> ttrpc::Result<Empty> {
        self.process(&request.id, &request.exec_id)?.resize(request.width, request.height)?;
        Ok(Empty::new())
    }

    async fn close_io(&self, _: &TtrpcContext, request: CloseIORequest) -> ttrpc::Result<Empty> {
        let process = self.process(&request.id, &request.exec_id)?;
        if request.stdin {
            process.close_stdin();
        }
        Ok(Empty::new())
    }

    async fn update(&self, _: &TtrpcContext, request: UpdateTaskRequest) -> ttrpc::Result<Empty> {
        let tasks = self.tasks.clone();
        finish(async move {
            let resources = request.resources.as_ref().map(|any| any.value.as_slice()).unwrap_or_default();
            tasks.update(&request.id, resources).await
        })
        .await?;
        Ok(Empty::new())
    }

    async fn wait(&self, _: &TtrpcContext, request: WaitRequest) -> ttrpc::Result<WaitResponse> {
        let exit = self.process(&request.id, &request.exec_id)?.wait().await;
        Ok(WaitResponse { exit_status: exit.status, exited_at: Some(timestamp(exit.at)).into(), ..Default::default() })
    }

    async fn stats(&self, _: &TtrpcContext, request: StatsRequest) -> ttrpc::Result<StatsResponse> {
        let task = self.tasks.get(&request.id)?;
        let stats = finish(async move { Ok(stats(&task.cgroup)) }).await?;
        Ok(StatsResponse { stats: Some(stats).into(), ..Default::default() })
    }

    async fn connect(&self, _: &TtrpcContext, request: ConnectRequest) -> ttrpc::Result<ConnectResponse> {
        // As under runc: without such a task the answer has the shim's own process alone.
        let task_pid = self.tasks.get(&request.id).map_or(0, |task| task.init.pid());
        Ok(ConnectResponse { shim_pid: std::process::id(), task_pid, ..Default::default() })
    }

    async fn shutdown(&self, _: &TtrpcContext, _: ShutdownRequest) -> ttrpc::Result<Empty> {
        self.tasks.shut_down();
        Ok(Empty::new())
    }
}
