//! Building the app, starting its triggers, and ending in good order.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use rustix::process::{Resource, getrlimit};
use spin_runtime::http::Reuse;
use spin_runtime::output::{say, say_lines};
use spin_runtime::{Code, EngineSettings, Inputs, Runtime, RuntimeError};
use spin_trigger_http::{Listen, Resizer, Server};
use spin_trigger_redis::Subscriber;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Reporter;
use super::settings::Settings;
use super::volumes::Volumes;
use super::wall::Wall;
use crate::link::{Command, Commands, Link};
use crate::plan::{Descriptors, Failure, Outcome, Run};
use crate::sys;

/// What this build can be triggered by.
const TRIGGERS: [&str; 2] = ["http", "redis"];

/// Runs the app once its container is started, until a signal asks it to end; or fails as the plan says. Returns its exit code.
pub fn run(outcome: Outcome, descriptors: &mut Descriptors, reporter: Reporter) -> ExitCode {
    let runtime = match spin_trigger_http::runtime().map_err(Failure::internal("starting")) {
        Ok(runtime) => runtime,
        Err(failure) => return reporter.failed(failure),
    };
    runtime.block_on(async {
        match start(outcome, descriptors, &reporter.link).await {
            Ok(Some((started, signals))) => {
                reporter.ready();
                serve(started, signals).await;
                ExitCode::SUCCESS
            }
            Ok(None) => ExitCode::SUCCESS,
            Err(failure) => reporter.failed(failure),
        }
    })
}

/// Gets everything ready to serve, behind the second wall; `None` where a signal asks the app to end before.
async fn start(outcome: Outcome, descriptors: &mut Descriptors, link: &Link) -> Result<Option<(Started, Signals)>, Failure> {
    let commands = link.commands().map_err(Failure::internal("the connection to the shim's daemon"))?;
    // From here on: the first process of a container has no default action for signals.
    let mut signals = Signals::new()?;
    // A container's first process is the parent of every process whose own has ended, such as one that a probe left running.
    sys::ignore_ends_of_children();
    let (started, wall) = tokio::select! {
        ready = listen(outcome, descriptors, commands) => ready?,
        () = signals.next() => return Ok(None),
    };
    wall.close().map_err(|error| {
        let message =
            format!("restricting the app's system calls: {error:#}; the pod's seccomp profile must allow seccomp and prctl");
        Failure::new(Failure::CONFIGURATION, message)
    })?;
    Ok(Some((started, signals)))
}

/// Everything that listens.
struct Started {
    server: Option<Server>,
    subscriber: Option<Subscriber>,
    settings: Settings,
    commands: Commands,
}

/// Builds the app while its container is still being created; what that comes to is nobody's business before the start.
async fn listen(outcome: Outcome, descriptors: &mut Descriptors, mut commands: Commands) -> Result<(Started, Wall), Failure> {
    let built = build(outcome, descriptors).await;
    let resized = wait_for_start(&mut commands).await.map_err(Failure::internal("waiting for the start"))?;
    let Built { runtime, mut settings, memory, ignored_command, wall } = built?;
    if let Some(cpus) = resized {
        settings.set_capacity(settings.capacity(cpus));
    }
    if let Some(command) = ignored_command {
        say(&format!(
            "the container's command, which begins with {command:?}, is not run: its image is a Spin app, which serves until it is \
             stopped"
        ));
    }
    let has = |kind| runtime.app().triggers_of(kind).next().is_some();
    let subscriber = match has("redis") {
        true => Some(
            Subscriber::new(&runtime, redis_settings(&settings, memory))
                .await
                .map_err(|error| Failure::new(error.exit_code(), error))?,
        ),
        false => None,
    };
    // The port last: nothing that fails later may leave a client with a connection nobody will answer.
    let server = match has("http") {
        true => Some(
            Server::bind(&runtime, http_settings(&settings, memory))
                .await
                .map_err(|error| Failure::new(error.exit_code(), error))?,
        ),
        false => None,
    };
    Ok((Started { server, subscriber, settings, commands }, wall))
}

/// Waits until the container is started; the quota of processors that it was given meanwhile.
async fn wait_for_start(commands: &mut Commands) -> io::Result<Option<Option<f64>>> {
    let mut resized = None;
    loop {
        match commands.next().await? {
            Command::Start => return Ok(resized),
            Command::Resize { cpus } => resized = Some(cpus),
        }
    }
}

/// Has the server follow the container's quota of processors, until the daemon ends.
async fn follow_resizes(mut commands: Commands, settings: Settings, server: Resizer) {
    let mut workers = settings.workers;
    while let Ok(command) = commands.next().await {
        let Command::Resize { cpus } = command else { continue };
        let capacity = settings.capacity(cpus);
        server.resize(capacity);
        if capacity.workers != workers {
            workers = capacity.workers;
            let quota = cpus.map_or("no quota of processors".to_owned(), |cpus| format!("{cpus} processors"));
            say(&format!("threads that serve: {workers}, as the container has {quota} now"));
        }
    }
}

/// An app that is ready to start.
struct Built {
    runtime: Arc<Runtime>,
    settings: Settings,
    /// The container's memory limit in bytes.
    memory: Option<u64>,
    /// As [`Run::ignored_command`].
    ignored_command: Option<String>,
    wall: Wall,
}

async fn build(outcome: Outcome, descriptors: &mut Descriptors) -> Result<Built, Failure> {
    let mut run = match outcome {
        Outcome::Run(run) => *run,
        Outcome::Failed(failure) => return Err(failure),
    };
    let settings = Settings::read(std::mem::take(&mut run.env), run.cpus)?;
    let unknown = run.app.triggers.iter().find(|trigger| !TRIGGERS.contains(&trigger.trigger_type.as_str()));
    if let Some(trigger) = unknown {
        let (id, kind) = (&trigger.id, &trigger.trigger_type);
        let message = format!("trigger {id:?} is of type {kind:?}; this runtime has {}", TRIGGERS.join(" and "));
        return Err(Failure::new(Failure::APP, message));
    }
    if run.app.triggers.is_empty() {
        return Err(Failure::new(Failure::APP, "the app has no trigger, so there is nothing to run"));
    }
    let (memory, ignored_command) = (run.memory_limit, run.ignored_command.take());
    let failed = |error: RuntimeError| Failure::new(error.exit_code(), error);
    let inputs = inputs(run, descriptors, &settings)?;
    // Here, because building makes threads.
    let wall = Wall::begin(&inputs.paths().map_err(failed)?)
        .map_err(|error| Failure::new(Failure::INTERNAL, format!("restricting the app's process: {error:#}")))?;
    let runtime = Runtime::build(inputs).await.map_err(failed)?;
    Ok(Built { runtime, settings, memory, ignored_command, wall })
}

async fn serve(started: Started, mut signals: Signals) {
    let drain = CancellationToken::new();
    let Started { server, subscriber, settings, commands } = started;
    let grace = settings.grace;
    match &server {
        Some(server) => {
            say_lines(&server.announcement());
            tokio::spawn(follow_resizes(commands, settings, server.resizer()));
        }
        // A subscriber has one thread in any case.
        None => drop(commands),
    }
    let http = async {
        if let Some(server) = server {
            server.run(drain.clone(), grace).await;
        }
    };
    let redis = async {
        if let Some(subscriber) = subscriber {
            subscriber.run(drain.clone(), grace).await;
        }
    };
    let told = async {
        signals.next().await;
        drain.cancel();
        signals.next().await;
    };
    tokio::select! {
        _ = async { tokio::join!(http, redis) } => {}
        () = told => {}
    }
}

fn inputs(run: Run, descriptors: &mut Descriptors, settings: &Settings) -> Result<Inputs, Failure> {
    let code = run.code.into_iter().map(|(id, place)| Ok((id, Code::Precompiled(descriptors.take(place)?.into()))));
    let code = code.collect::<io::Result<BTreeMap<_, _>>>().map_err(Failure::internal("taking over the code"))?;
    let files = run.files.into_iter().map(|(id, place)| Ok((id, path_for_good(descriptors.take(place)?))));
    let files = files.collect::<io::Result<BTreeMap<_, _>>>().map_err(Failure::internal("taking over the files"))?;
    let volumes = Volumes::new(run.volumes);
    Ok(Inputs {
        code,
        files,
        state_dir: volumes.state_dir(),
        runtime_config: volumes.runtime_config(settings.runtime_config.as_deref())?,
        env: settings.env.clone(),
        volumes: run.volume_directories,
        h2c_servers: settings.h2c_servers.clone(),
        engine: EngineSettings {
            max_instances: max_instances(settings, run.memory_limit),
            max_instance_memory: settings.max_instance_memory,
            memory_limit: run.memory_limit,
            pooling: settings.pooling,
        },
        ..Inputs::new(run.app)
    })
}

/// A directory that is nowhere in the container, by its descriptor, which stays open as long as the process lives.
fn path_for_good(directory: OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", directory.into_raw_fd()))
}

/// The instances that may work at once: what the environment sets, or one for each request that the
/// container's memory allows HTTP triggers to have in work.
fn max_instances(settings: &Settings, memory: Option<u64>) -> u32 {
    let by_memory = spin_trigger_http::Settings::for_memory(memory, None).max_working;
    settings.max_instances.unwrap_or_else(|| u32::try_from(by_memory).unwrap_or(u32::MAX))
}

/// The settings of HTTP triggers: what the environment sets, and what follows from the container's memory.
fn http_settings(settings: &Settings, memory: Option<u64>) -> spin_trigger_http::Settings {
    let limits = &settings.http;
    let derived = spin_trigger_http::Settings::for_memory(memory, getrlimit(Resource::Nofile).current);
    spin_trigger_http::Settings {
        listen: settings.listen.map_or(derived.listen, Listen::At),
        workers: settings.workers,
        max_working: max_instances(settings, memory) as usize,
        max_connections: limits.connections.unwrap_or(derived.max_connections),
        max_head: limits.head.unwrap_or(derived.max_head),
        max_head_memory: limits.head_memory.unwrap_or(derived.max_head_memory),
        max_streams: limits.streams.unwrap_or(derived.max_streams),
        window: limits.window.unwrap_or(derived.window),
        send_buffer: limits.send_buffer.unwrap_or(derived.send_buffer),
        max_body: limits.body.unwrap_or(derived.max_body),
        head_timeout: limits.head_timeout.unwrap_or(derived.head_timeout),
        idle_timeout: limits.idle_timeout.unwrap_or(derived.idle_timeout),
        stall_timeout: limits.stall_timeout.unwrap_or(derived.stall_timeout),
        request_timeout: settings.request_timeout,
        busy_poll: settings.busy_poll,
        reuse: settings.reuse.map(|requests| Reuse { requests: requests as usize, ..Reuse::default() }),
        linger: settings.linger.unwrap_or(derived.linger),
        ..derived
    }
}

fn redis_settings(settings: &Settings, memory: Option<u64>) -> spin_trigger_redis::Settings {
    let defaults = spin_trigger_redis::Settings::default();
    let by_memory = spin_trigger_redis::Settings::max_message_bytes_for(memory);
    spin_trigger_redis::Settings {
        max_in_work: settings.max_messages.map_or(defaults.max_in_work, |count| count as usize),
        max_message_bytes: settings.max_message_bytes.unwrap_or(by_memory),
        message_timeout: settings.message_timeout,
        ..defaults
    }
}

/// The signals by which images are stopped, as their STOPSIGNAL says. Each means: finish and end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(Failure::internal("listening for signals"));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            quit: listen(SignalKind::quit())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.quit.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
