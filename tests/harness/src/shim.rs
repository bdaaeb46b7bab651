//! A shim called as containerd would call it, but by the test: one call at a time, and nothing between them.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

pub use containerd_shim_protos::api::Mount;
use containerd_shim_protos::api::{
    ConnectRequest, CreateTaskRequest, DeleteRequest, ExecProcessRequest, KillRequest, PauseRequest, ResumeRequest,
    ShutdownRequest, StartRequest, StateRequest, Status, WaitRequest,
};
use containerd_shim_protos::bootstrap_api::{BootstrapParams, BootstrapResult, Extension};
use containerd_shim_protos::protobuf::{Message, well_known_types::any::Any};
pub use containerd_shim_protos::shim::oci::Options;
use containerd_shim_protos::shim_sync::{Client, TaskClient};
use containerd_shim_protos::ttrpc::context;
use libc::{c_char, c_int, posix_spawn_file_actions_addchdir_np, posix_spawn_file_actions_t};
use serde_json::Value;

use crate::process::said;
use crate::{Containerd, required_env};

/// Where the C library has this for a directory of the child's, the standard library lends it this process's memory, as containerd does; it would copy it
/// instead, which takes longer than some of what is measured. A static program has of that library only what is named.
#[used]
static LENT: unsafe extern "C" fn(*mut posix_spawn_file_actions_t, *const c_char) -> c_int = posix_spawn_file_actions_addchdir_np;

/// How long a shim may take over a call.
const PATIENCE: Duration = Duration::from_secs(60);

/// The shim that is tested.
pub fn program() -> PathBuf {
    Path::new(&required_env("SPIN_SHIM_DIR")).join("containerd-shim-spin-v2")
}

/// What a shim finds of a container that containerd knows and has no task of. Removed with the value.
#[derive(Debug)]
pub struct Bundle<'a> {
    containerd: &'a Containerd,
    id: String,
    dir: PathBuf,
    rootfs: Vec<Mount>,
}

/// The service of a shim that was started; its container and the shim end with the value.
pub struct Shim<'a> {
    bundle: &'a Bundle<'a>,
    client: TaskClient,
}

impl<'a> Bundle<'a> {
    /// What containerd writes before it calls a shim.
    pub fn new(containerd: &'a Containerd, id: &str) -> Self {
        let dir = containerd.state().join("bundles").join(id);
        let rootfs = mounts(containerd, id, &dir.join("rootfs"));
        let bundle = Self { containerd, id: id.to_owned(), dir, rootfs };
        fs::create_dir_all(bundle.dir.join("rootfs")).expect("the bundle can be made");
        bundle.write("config.json", &containerd.ctr_ok(&["containers", "info", "--spec", id]));
        // Shims open this, a pipe to containerd, for what they log.
        bundle.write("log", "");
        bundle
    }

    /// With another spec.
    pub fn edited(self, edit: impl FnOnce(&mut Value)) -> Self {
        let text = fs::read_to_string(self.dir.join("config.json")).expect("the spec was written");
        let mut spec = serde_json::from_str(&text).expect("the spec is JSON");
        edit(&mut spec);
        self.write("config.json", &spec.to_string());
        self
    }

    /// With other mounts of its root file system.
    pub fn with_root(mut self, edit: impl FnMut(&mut Mount)) -> Self {
        self.rootfs.iter_mut().for_each(edit);
        self
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.join(name), text).expect("the bundle can be written");
    }

    /// Starts a shim of this program, creates the container and starts it.
    pub fn run(&self, program: &Path) -> Shim<'_> {
        let task = self.start(program);
        task.create();
        task.run().expect("started");
        task
    }

    /// Runs the program's `start`, and connects to where it says.
    pub fn start(&self, program: &Path) -> Shim<'_> {
        self.start_with(program, &Options::default())
    }

    /// The same with options of the runtime.
    pub fn start_with(&self, program: &Path, options: &Options) -> Shim<'_> {
        let socket = |end: &str| format!("{}{end}", self.containerd.dir().join("sock").display());
        let value = options.write_to_bytes().expect("the message can be encoded");
        let options = Any { type_url: "containerd.runc.v1.Options".to_owned(), value, ..Any::default() };
        let params = BootstrapParams {
            extensions: vec![Extension { value: Some(options).into(), ..Extension::default() }],
            instance_id: self.id.clone(),
            namespace: self.containerd.namespace().to_owned(),
            containerd_grpc_address: socket(""),
            containerd_ttrpc_address: socket(".ttrpc"),
            ..BootstrapParams::default()
        };
        let mut command = Command::new(program);
        command.args(["-namespace", self.containerd.namespace(), "-address", &socket(""), "-publish-binary", "containerd"]);
        command.args(["-id", &self.id, "start"]).current_dir(&self.dir).env("TTRPC_ADDRESS", socket(".ttrpc"));
        // A shim puts its daemon beside itself.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the shim can be run");
        let params = params.write_to_bytes().expect("the message can be encoded");
        child.stdin.take().expect("a pipe").write_all(&params).expect("the shim reads");
        let output = child.wait_with_output().expect("the shim ends");
        let reply = BootstrapResult::parse_from_bytes(&output.stdout).ok().filter(|_| output.status.success());
        let reply = reply.unwrap_or_else(|| panic!("the shim's start: {}", said(&output)));
        let client = Client::connect(&reply.address).expect("the shim's daemon listens");
        Shim { bundle: self, client: TaskClient::new(client) }
    }
}

impl Drop for Bundle<'_> {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.dir).unwrap_or_else(|error| eprintln!("a bundle is left: {error}"));
    }
}

impl Shim<'_> {
    /// Creates the container; its process.
    pub fn create(&self) -> i32 {
        self.try_create().unwrap_or_else(|error| panic!("Create: {error}"))
    }

    /// The same; the shim's words where that fails.
    pub fn try_create(&self) -> Result<i32, String> {
        self.try_create_with(|_| {})
    }

    /// The same with another request.
    pub fn try_create_with(&self, edit: impl FnOnce(&mut CreateTaskRequest)) -> Result<i32, String> {
        let mut request = CreateTaskRequest {
            id: self.id(),
            bundle: self.bundle.dir.display().to_string(),
            rootfs: self.bundle.rootfs.clone(),
            ..CreateTaskRequest::default()
        };
        edit(&mut request);
        self.client.create(timeout(), &request).map(|response| response.pid.cast_signed()).map_err(|error| error.to_string())
    }

    /// Starts it; the shim's words where that fails.
    pub fn run(&self) -> Result<(), String> {
        let request = StartRequest { id: self.id(), ..StartRequest::default() };
        self.client.start(timeout(), &request).map(drop).map_err(|error| error.to_string())
    }

    /// The shim's process, and this container's; 0 for one that does not exist.
    pub fn connect(&self, id: &str) -> (u32, u32) {
        let request = ConnectRequest { id: id.to_owned(), ..ConnectRequest::default() };
        let response = self.client.connect(timeout(), &request).unwrap_or_else(|error| panic!("Connect: {error}"));
        (response.shim_pid, response.task_pid)
    }

    /// Sends its process a signal.
    pub fn kill(&self, signal: u32) {
        self.try_kill(signal, false).unwrap_or_else(|error| panic!("Kill: {error}"));
    }

    /// Sends a signal to its process, or to all processes; the shim's words where that fails.
    pub fn try_kill(&self, signal: u32, all: bool) -> Result<(), String> {
        let request = KillRequest { id: self.id(), signal, all, ..KillRequest::default() };
        self.client.kill(timeout(), &request).map(drop).map_err(|error| error.to_string())
    }

    /// Waits for its end; its exit code.
    pub fn wait(&self) -> u32 {
        let request = WaitRequest { id: self.id(), ..WaitRequest::default() };
        self.client.wait(timeout(), &request).unwrap_or_else(|error| panic!("Wait: {error}")).exit_status
    }

    /// Pauses it; the shim's words where that fails.
    pub fn pause(&self) -> Result<(), String> {
        let request = PauseRequest { id: self.id(), ..PauseRequest::default() };
        self.client.pause(timeout(), &request).map(drop).map_err(|error| error.to_string())
    }

    /// Lets it go on.
    pub fn resume(&self) -> Result<(), String> {
        let request = ResumeRequest { id: self.id(), ..ResumeRequest::default() };
        self.client.resume(timeout(), &request).map(drop).map_err(|error| error.to_string())
    }

    /// Its state.
    pub fn status(&self) -> Status {
        let request = StateRequest { id: self.id(), ..StateRequest::default() };
        let state = self.client.state(timeout(), &request).unwrap_or_else(|error| panic!("State: {error}"));
        state.status.enum_value().expect("a known state")
    }

    /// Notes a further program, the container's own process but for these arguments; the shim's words where that fails.
    pub fn exec(&self, exec_id: &str, args: &[&str]) -> Result<(), String> {
        self.exec_with(exec_id, args, |_| {})
    }

    /// The same with another request.
    pub fn exec_with(&self, exec_id: &str, args: &[&str], edit: impl FnOnce(&mut ExecProcessRequest)) -> Result<(), String> {
        let spec = fs::read_to_string(self.bundle.dir.join("config.json")).expect("the spec was written");
        let mut spec: Value = serde_json::from_str(&spec).expect("the spec is JSON");
        spec["process"]["args"] = args.into();
        let value = spec["process"].to_string().into_bytes();
        let spec = Any { type_url: "types.containerd.io/opencontainers/runtime-spec/1/Process".into(), value, ..Any::default() };
        let (id, exec_id) = (self.id(), exec_id.to_owned());
        let mut request = ExecProcessRequest { id, exec_id, spec: Some(spec).into(), ..ExecProcessRequest::default() };
        edit(&mut request);
        self.client.exec(timeout(), &request).map(drop).map_err(|error| error.to_string())
    }

    /// Starts such a program: its process, or the shim's words where that fails.
    pub fn start_exec(&self, exec_id: &str) -> Result<i32, String> {
        let request = StartRequest { id: self.id(), exec_id: exec_id.to_owned(), ..StartRequest::default() };
        self.client.start(timeout(), &request).map(|response| response.pid.cast_signed()).map_err(|error| error.to_string())
    }

    /// Sends such a program a signal; the shim's words where that fails.
    pub fn try_kill_exec(&self, exec_id: &str, signal: u32) -> Result<(), String> {
        let request = KillRequest { id: self.id(), exec_id: exec_id.to_owned(), signal, ..KillRequest::default() };
        self.client.kill(timeout(), &request).map(drop).map_err(|error| error.to_string())
    }

    /// Waits for such a program's end; its exit code.
    pub fn wait_exec(&self, exec_id: &str) -> u32 {
        let request = WaitRequest { id: self.id(), exec_id: exec_id.to_owned(), ..WaitRequest::default() };
        self.client.wait(timeout(), &request).unwrap_or_else(|error| panic!("Wait: {error}")).exit_status
    }

    /// Deletes such a program; its exit code.
    pub fn delete_exec(&self, exec_id: &str) -> Result<u32, String> {
        let request = DeleteRequest { id: self.id(), exec_id: exec_id.to_owned(), ..DeleteRequest::default() };
        self.client.delete(timeout(), &request).map(|response| response.exit_status).map_err(|error| error.to_string())
    }

    /// Deletes it; the shim's words where that fails.
    pub fn delete(&self) -> Result<(), String> {
        let request = DeleteRequest { id: self.id(), ..DeleteRequest::default() };
        self.client.delete(timeout(), &request).map(drop).map_err(|error| error.to_string())
    }

    fn id(&self) -> String {
        self.bundle.id.clone()
    }
}

impl Drop for Shim<'_> {
    fn drop(&mut self) {
        // It may have ended, or never been.
        if self.try_kill(9, true).is_ok() {
            self.wait();
        }
        let _never_was = self.delete();
        let shutdown = ShutdownRequest { id: self.id(), now: true, ..ShutdownRequest::default() };
        // It may be gone before it has answered.
        let _gone = self.client.shutdown(timeout(), &shutdown);
    }
}

/// How the container's snapshot is mounted, by the words of `ctr`: `mount -t TYPE SOURCE TARGET -o OPTIONS`.
fn mounts(containerd: &Containerd, id: &str, target: &Path) -> Vec<Mount> {
    let words = containerd.ctr_ok(&["snapshots", "mounts", &target.display().to_string(), id]);
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

fn timeout() -> context::Context {
    context::with_duration(PATIENCE)
}
