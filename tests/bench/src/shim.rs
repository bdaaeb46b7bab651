//! A shim called as containerd calls it, but by the bench: what of a start is the shim's and its runtime's own.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::scope;
use std::time::{Duration, Instant};

use containerd_shim_protos::api::{
    CreateTaskRequest, DeleteRequest, KillRequest, Mount, ShutdownRequest, StartRequest, WaitRequest,
};
use containerd_shim_protos::bootstrap_api::{BootstrapParams, BootstrapResult};
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::shim_sync::{Client, TaskClient};
use containerd_shim_protos::ttrpc::context;
use harness::Containerd;
use harness::process::said;

use crate::error::Error;
use crate::probe;

/// How long the shim may take over a call.
const PATIENCE: Duration = Duration::from_secs(60);

/// A container that containerd knows and has no task of.
#[derive(Debug)]
pub struct Container<'a> {
    /// Whose it is.
    pub containerd: &'a Containerd,
    /// Its name.
    pub id: &'a str,
    /// The shim's program.
    pub shim: PathBuf,
    /// Where its service will answer.
    pub address: SocketAddr,
}

/// A shim that was started.
struct Task<'a> {
    id: &'a str,
    client: TaskClient,
}

impl Container<'_> {
    /// From the execution of the shim's `start` to the service's first 200: `start`, `Create`, `Start`, and nothing between them. The task is
    /// ended again.
    pub fn own_part(&self) -> Result<Duration, Error> {
        let bundle = self.bundle()?;
        let rootfs = self.rootfs(&bundle.join("rootfs"));
        let began = Instant::now();
        let (task, answered) = scope(|scope| {
            let answered = scope.spawn(|| probe::first_200(self.address));
            let task = self.start_shim(&bundle).map(|task| (task.run(&bundle, rootfs), task));
            (task, answered.join().expect("asking does not panic"))
        });
        let took = answered.map(|answered| answered.at - began);
        let (ran, task) = task?;
        ran.and(task.end())?;
        fs::remove_dir_all(&bundle).map_err(Error::io(bundle))?;
        took
    }

    /// What containerd writes before it calls a shim.
    fn bundle(&self) -> Result<PathBuf, Error> {
        let bundle = self.containerd.dir().join("bundles").join(self.id);
        fs::create_dir_all(bundle.join("rootfs")).map_err(Error::io(&bundle))?;
        let spec = self.containerd.ctr_ok(&["containers", "info", "--spec", self.id]);
        fs::write(bundle.join("config.json"), spec).map_err(Error::io(&bundle))?;
        // Shims open this, a pipe to containerd, for what they log.
        fs::write(bundle.join("log"), "").map_err(Error::io(&bundle))?;
        Ok(bundle)
    }

    /// How the container's snapshot is mounted, by the words of `ctr`: `mount -t TYPE SOURCE TARGET -o OPTIONS`.
    fn rootfs(&self, target: &Path) -> Vec<Mount> {
        let target = target.display().to_string();
        let words = self.containerd.ctr_ok(&["snapshots", "mounts", &target, self.id]);
        let mount = |line: &str| {
            let words: Vec<_> = line.split_whitespace().collect();
            match words[..] {
                ["mount", "-t", kind, source, _, "-o", options] => Mount {
                    type_: kind.to_owned(),
                    source: source.to_owned(),
                    options: options.split(',').map(str::to_owned).collect(),
                    ..Mount::default()
                },
                _ => panic!("no mount: {line}"),
            }
        };
        words.lines().map(mount).collect()
    }

    fn start_shim(&self, bundle: &Path) -> Result<Task<'_>, Error> {
        let failed = |source| Error::Run { program: "the shim", source };
        let socket = |end: &str| format!("{}{end}", self.containerd.dir().join("sock").display());
        let params = BootstrapParams {
            instance_id: self.id.to_owned(),
            namespace: self.containerd.namespace().to_owned(),
            containerd_grpc_address: socket(""),
            containerd_ttrpc_address: socket(".ttrpc"),
            ..BootstrapParams::default()
        };
        let mut command = Command::new(&self.shim);
        command.args(["-namespace", self.containerd.namespace(), "-address", &socket(""), "-publish-binary", "containerd"]);
        command.args(["-id", self.id, "start"]).current_dir(bundle).env("TTRPC_ADDRESS", socket(".ttrpc"));
        // A shim puts its daemon beside itself.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(&params.write_to_bytes().unwrap_or_default()).map_err(failed)?;
        }
        let output = child.wait_with_output().map_err(failed)?;
        let reply = BootstrapResult::parse_from_bytes(&output.stdout).ok().filter(|_| output.status.success());
        let Some(reply) = reply else { return Err(Error::Failed { program: "the shim's start", said: said(&output) }) };
        let client = Client::connect(&reply.address).map_err(call("connecting"))?;
        Ok(Task { id: self.id, client: TaskClient::new(client) })
    }
}

impl Task<'_> {
    fn run(&self, bundle: &Path, rootfs: Vec<Mount>) -> Result<(), Error> {
        let (id, bundle) = (self.id.to_owned(), bundle.display().to_string());
        let create = CreateTaskRequest { id: id.clone(), bundle, rootfs, ..CreateTaskRequest::default() };
        self.client.create(timeout(), &create).map_err(call("Create"))?;
        self.client.start(timeout(), &StartRequest { id, ..StartRequest::default() }).map_err(call("Start"))?;
        Ok(())
    }

    /// Ends the container, and the shim in any case.
    fn end(self) -> Result<(), Error> {
        let ended = self.end_container();
        let shutdown = ShutdownRequest { id: self.id.to_owned(), now: true, ..ShutdownRequest::default() };
        // It may be gone before it has answered.
        let _gone = self.client.shutdown(timeout(), &shutdown);
        ended
    }

    fn end_container(&self) -> Result<(), Error> {
        let id = || self.id.to_owned();
        let kill = KillRequest { id: id(), signal: 9, all: true, ..KillRequest::default() };
        self.client.kill(timeout(), &kill).map_err(call("Kill"))?;
        self.client.wait(timeout(), &WaitRequest { id: id(), ..WaitRequest::default() }).map_err(call("Wait"))?;
        self.client.delete(timeout(), &DeleteRequest { id: id(), ..DeleteRequest::default() }).map_err(call("Delete"))?;
        Ok(())
    }
}

fn timeout() -> context::Context {
    context::with_duration(PATIENCE)
}

fn call(what: &'static str) -> impl FnOnce(containerd_shim_protos::ttrpc::Error) -> Error {
    move |error| Error::Failed { program: what, said: error.to_string() }
}
