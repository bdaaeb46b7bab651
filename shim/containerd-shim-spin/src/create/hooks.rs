//! The spec's hooks: programs that are run at fixed points of a container's life, with its state on their standard input.
//!
//! | hooks | run when | where |
//! |---|---|---|
//! | prestart, createRuntime | namespaces and mounts are there | on the node |
//! | createContainer | after these | in the container's namespaces, before its root is the only one it sees |
//! | startContainer | by the start, before the program is executed | in the container, by its init process |
//! | poststart | the program was executed | on the node |
//! | poststop | the container was deleted | on the node |
//!
//! libcontainer runs the first four itself, but tells a hook in the container's namespaces neither its process nor the bundle; the last two belong to calls
//! of libcontainer's that are never made here.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use libcontainer::container::{Container, ContainerStatus, State};
use libcontainer::hooks::run_hooks;
use oci_spec::runtime::{Hook, Hooks, LinuxNamespaceType, Spec};
use rustix::thread::move_into_link_name_space;

use super::copy::Copy;
use super::process::in_a_sentence;
use crate::bundle::{self, TaskRequest};
use crate::link::{LaterHooks, Stage};

/// Those of a spec that are run after the container was created.
pub fn later_hooks(spec: &Spec) -> LaterHooks {
    let has = |stage| !hooks_of(spec, stage).is_empty();
    LaterHooks { post_start: has(Stage::PostStart), post_stop: has(Stage::PostStop) }
}

/// Runs the hooks of a stage, for the container of this bundle.
pub fn run(bundle: &Path, request: &TaskRequest, stage: Stage, pid: Option<u32>) -> Result<()> {
    let spec = Spec::load(bundle.join("config.json")).context("reading the spec")?;
    let status = match stage {
        Stage::PostStart => ContainerStatus::Running,
        Stage::PostStop => ContainerStatus::Stopped,
    };
    run_all(hooks_of(&spec, stage), &state(bundle, request, &spec, status, pid))
}

fn hooks_of(spec: &Spec, stage: Stage) -> &[Hook] {
    let hooks = spec.hooks().as_ref();
    let hooks = match stage {
        Stage::PostStart => hooks.and_then(|hooks| hooks.poststart().as_deref()),
        Stage::PostStop => hooks.and_then(|hooks| hooks.poststop().as_deref()),
    };
    hooks.unwrap_or_default()
}

/// The hooks of a container's creation.
#[derive(Debug, Default)]
pub struct CreationHooks {
    on_the_node: Vec<Hook>,
    in_the_container: Vec<Hook>,
}

impl CreationHooks {
    /// Takes them out of the spec, in which nothing is left but that there are some: the init process waits for them then.
    pub fn take(spec: &mut Spec) -> Self {
        let Some(hooks) = spec.hooks().clone() else { return Self::default() };
        let all = |hooks: &Option<Vec<Hook>>| hooks.clone().unwrap_or_default();
        let on_the_node = [all(hooks.prestart()), all(hooks.create_runtime())].concat();
        let taken = Self { on_the_node, in_the_container: all(hooks.create_container()) };
        spec.set_hooks((!taken.is_empty()).then(Hooks::default));
        taken
    }

    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.on_the_node.is_empty() && self.in_the_container.is_empty()
    }

    /// What libcontainer's init process wants to have where there are hooks.
    pub fn container(&self, bundle: &Path, request: &TaskRequest) -> Result<Option<Container>> {
        if self.is_empty() {
            return Ok(None);
        }
        let dir = bundle::container_dir(bundle, &request.id);
        Container::new(&request.id, ContainerStatus::Creating, None, bundle, &dir).map(Some).map_err(in_a_sentence)
    }

    /// Runs them; `pid` is the init process, as this process sees it, and waits meanwhile.
    pub fn run(&self, bundle: &Path, request: &TaskRequest, spec: &Spec, pid: u32) -> Result<()> {
        let mut state = state(bundle, request, spec, ContainerStatus::Creating, Some(pid));
        run_all(&self.on_the_node, &state)?;
        if self.in_the_container.is_empty() {
            return Ok(());
        }
        state.pid = Some(innermost_pid(pid).context("the number of the container's process in its own namespace")?);
        in_a_child(|| {
            enter_namespaces(spec, pid)?;
            run_in_this_process(&self.in_the_container, &state)
        })
    }
}

/// The hooks of a container's start, for its init process.
#[derive(Clone, Debug)]
pub struct StartHooks {
    hooks: Vec<Hook>,
    state: State,
}

impl StartHooks {
    /// Those of this spec.
    pub fn of(bundle: &Path, request: &TaskRequest, spec: &Spec) -> Self {
        let hooks = spec.hooks().as_ref().and_then(|hooks| hooks.start_container().clone()).unwrap_or_default();
        Self { hooks, state: state(bundle, request, spec, ContainerStatus::Created, None) }
    }

    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }

    /// Runs them, in the container's init process. A hook without an environment of its own has this process's.
    pub fn run(&self) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let state = State { pid: Some(std::process::id().cast_signed()), ..self.state.clone() };
        let environment: HashMap<String, String> = std::env::vars().collect();
        run_hooks(Some(&self.hooks), Some(&state), None, None, Some(&environment))
            .map_err(in_a_sentence)
            .context("a hook of the start")
    }
}

fn state(bundle: &Path, request: &TaskRequest, spec: &Spec, status: ContainerStatus, pid: Option<u32>) -> State {
    let mut state = State::new(&request.id, status, pid.map(u32::cast_signed), bundle.to_owned());
    state.annotations = spec.annotations().clone();
    state
}

fn run_all(hooks: &[Hook], state: &State) -> Result<()> {
    if hooks.is_empty() { Ok(()) } else { in_a_child(|| run_in_this_process(hooks, state)) }
}

fn run_in_this_process(hooks: &[Hook], state: &State) -> Result<()> {
    run_hooks(Some(&hooks.to_vec()), Some(state), None, None, None).map_err(in_a_sentence).context("a hook of the container")
}

/// Hooks with a time limit are waited for by a thread, after which this process could not be copied any more.
fn in_a_child(work: impl FnOnce() -> Result<()>) -> Result<()> {
    Copy::begin("runs hooks", work).context("copying this process to run hooks")?.done()
}

/// The number that a process has in the innermost namespace of processes that it is in.
fn innermost_pid(pid: u32) -> io::Result<i32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let innermost = numbers.and_then(|numbers| numbers.split_whitespace().last()?.parse().ok());
    innermost.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Enters the namespaces that the spec names, as this process has them; that of mounts last, because the others are found by it.
fn enter_namespaces(spec: &Spec, pid: u32) -> Result<()> {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_deref()).unwrap_or_default();
    let names = [
        (LinuxNamespaceType::Cgroup, "cgroup"),
        (LinuxNamespaceType::Ipc, "ipc"),
        (LinuxNamespaceType::Uts, "uts"),
        (LinuxNamespaceType::Network, "net"),
        (LinuxNamespaceType::Pid, "pid"),
        (LinuxNamespaceType::Mount, "mnt"),
    ];
    let wanted = names.iter().filter(|(kind, _)| namespaces.iter().any(|namespace| namespace.typ() == *kind));
    let opened = wanted.map(|(_, name)| File::open(format!("/proc/{pid}/ns/{name}")).context("the container's namespaces"));
    for namespace in opened.collect::<Result<Vec<_>>>()? {
        use std::os::fd::AsFd;
        move_into_link_name_space(namespace.as_fd(), None).context("entering the container's namespaces")?;
    }
    Ok(())
}
