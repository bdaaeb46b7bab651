//! Further programs in a container that runs.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use containerd_shim_protos::api::ExecProcessRequest;
use containerd_shim_protos::events::task::{TaskExecAdded, TaskExecStarted, TaskExit};
use rustix::process::Signal;

use super::console::Expected;
use super::error::TaskError;
use super::helper::Helper;
use super::logger::{self, Logger};
use super::process::{Process, Streams};
use super::reaper::{self, Exit};
use super::task::{Task, Tasks};
use super::timestamp;
use crate::bundle;
use crate::link::{Order, Program, Report, Work};
use crate::stdio::{Held, Paths};
use crate::sys;

/// A program that runs: its process by number and by pidfd, and what is held for it.
type Running = (u32, Option<OwnedFd>, Streams);

impl Tasks {
    /// Notes a program to be run; nothing happens before its start.
    pub fn exec(&self, request: ExecProcessRequest) -> Result<(), TaskError> {
        let task = self.get(&request.id)?;
        task.takes_programs()?;
        let file = process_file(&task, &request.exec_id)?;
        let mut execs = task.execs();
        if execs.contains_key(&request.exec_id) {
            return Err(TaskError::Exists(request.exec_id));
        }
        let spec = request.spec.as_ref().map(|any| any.value.as_slice()).unwrap_or_default();
        fs::write(file, spec).map_err(TaskError::io("writing to the bundle"))?;
        let (stdin, stdout, stderr) = (request.stdin, request.stdout, request.stderr);
        let paths = Paths { stdin, stdout, stderr, terminal: request.terminal };
        execs.insert(request.exec_id.clone(), Arc::new(Process::to_be(paths)));
        let event = TaskExecAdded { container_id: request.id, exec_id: request.exec_id, ..Default::default() };
        self.events().publish(&event);
        Ok(())
    }

    /// Runs a noted program.
    pub async fn start_exec(self: &Arc<Self>, id: &str, exec_id: &str) -> Result<u32, TaskError> {
        let task = self.get(id)?;
        let process = task.exec(exec_id)?;
        task.takes_programs()?;
        if process.exit().is_some() || !process.start() {
            return Err(TaskError::State { id: exec_id.to_owned(), why: "not in the state of being created" });
        }
        let expecting = self.reaper.expect();
        match self.run_exec(&task, exec_id, &process).await {
            Ok((pid, handle, streams)) => {
                process.runs(pid, handle, streams);
                let (container_id, exec_id) = (id.to_owned(), exec_id.to_owned());
                let event = TaskExecStarted { container_id, exec_id: exec_id.clone(), pid, ..Default::default() };
                self.events().publish(&event);
                self.watch_exec(task, exec_id, process);
                drop(expecting);
                Ok(pid)
            }
            Err(error) => {
                // It never ran: containerd deletes what has ended, and asks with which status.
                process.ended(Exit::never_ran()).await;
                Err(error)
            }
        }
    }

    async fn run_exec(&self, task: &Task, exec_id: &str, process: &Process) -> Result<Running, TaskError> {
        let streams = process.paths.clone();
        let mut held = Held::open(&streams).map_err(TaskError::io("opening the program's streams"))?;
        let logged = Logger::start(&streams.stdout, exec_id, &self.namespace, &self.reaper).await?;
        let (logger, outputs) = logged.unzip();
        let console = streams.terminal.then(|| Expected::at(bundle::console_socket(&task.bundle, exec_id))).transpose();
        let console = console.map_err(TaskError::io("preparing the terminal"))?;
        let (init, cgroup) = (task.init.pid(), task.cgroup.clone());
        let program = Program { file: process_file(task, exec_id)?, init, cgroup };
        let order = Order { bundle: task.bundle.clone(), streams, work: Work::Exec(program) };
        let Some(init) = task.init.handle() else { return Err(TaskError::Finished(task.id.clone())) };
        let fds = [vec![init], logger::borrowed(outputs.as_ref())].concat();
        let helper = self.helper(&order, &fds).await.map_err(TaskError::io("starting the helper"))?;
        let Helper { pid: helper, mut line, .. } = helper;
        let mut ended = self.reaper.exit_of(helper);
        let report = line.next_of(&mut ended).await;
        reaper::over(ended).await;
        match report {
            Some(Report::Executed { pid }) => {
                let handle = self.reaper.handle_of(pid).map_err(TaskError::io("the program's process"))?;
                let (stdin, stdout) = (&process.paths.stdin, &process.paths.stdout);
                let console = console.map(|console| console.take(stdin, stdout, outputs.as_ref())).transpose();
                held.hold(outputs.into_iter().flatten());
                match console {
                    Ok(console) => Ok((pid, handle, Streams { held, console, logger })),
                    Err(error) => {
                        // Without its terminal it must not go on where nobody knows it.
                        let kill = |handle: OwnedFd| sys::signal(handle.as_fd(), Signal::KILL.as_raw().cast_unsigned());
                        let _ended_already = handle.map(kill);
                        Err(TaskError::io("taking over the terminal")(error))
                    }
                }
            }
            Some(Report::Error { message }) => Err(TaskError::Container(message)),
            _ => Err(TaskError::Container("the helper that runs the program was killed".to_owned())),
        }
    }

    fn watch_exec(self: &Arc<Self>, task: Arc<Task>, exec_id: String, process: Arc<Process>) {
        let (tasks, exit) = (self.clone(), self.reaper.exit_of(process.pid()));
        tokio::spawn(async move {
            let Ok(exit) = exit.await else { return };
            process.ended(exit).await;
            let (container_id, pid, exited_at) = (task.id.clone(), process.pid(), Some(timestamp(exit.at)).into());
            let event = TaskExit { container_id, id: exec_id, pid, exit_status: exit.status, exited_at, ..Default::default() };
            tasks.events().publish(&event);
        });
    }

    /// Forgets a program that has ended, or never ran.
    pub async fn delete_exec(&self, id: &str, exec_id: &str) -> Result<(u32, Exit), TaskError> {
        let task = self.get(id)?;
        let process = task.exec(exec_id)?;
        let exit = match (process.exit(), process.was_started()) {
            (Some(exit), _) => exit,
            // As under runc.
            (None, false) => Exit { status: 0, at: SystemTime::now() },
            (None, true) => return Err(TaskError::State { id: exec_id.to_owned(), why: "still running" }),
        };
        process.logged().await;
        task.execs().remove(exec_id);
        let _gone_already = fs::remove_file(process_file(&task, exec_id)?);
        Ok((process.pid(), exit))
    }
}

/// Where the helper finds what to run.
fn process_file(task: &Task, exec_id: &str) -> Result<PathBuf, TaskError> {
    if exec_id.is_empty() || exec_id.contains('/') {
        return Err(TaskError::Invalid(format!("{exec_id:?} is no id")));
    }
    Ok(bundle::state_dir(&task.bundle).join(format!("exec-{exec_id}.json")))
}
