//! A containerd of the test's own, with the shim on its PATH, and the tasks it runs.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::http::{Answer, free_port, get};
use crate::process::{Process, parent, run, said, signal};
use crate::wait::{holds, wait_for};
use crate::{SpinApp, required_env};

/// A running containerd, all it keeps below one temporary directory; its state, with the tasks' bundles, is in memory, as it is on a node.
#[derive(Debug)]
pub struct Containerd {
    dir: tempfile::TempDir,
    state: tempfile::TempDir,
    bin: PathBuf,
    namespace: String,
    process: Option<Process>,
}

/// Plugins that no test uses.
const DISABLED: &str = "\"io.containerd.snapshotter.v1.btrfs\", \"io.containerd.snapshotter.v1.zfs\", \
                        \"io.containerd.snapshotter.v1.devmapper\"";

/// The program of pods' sandboxes: it waits for signals.
pub fn pause_program() -> PathBuf {
    Path::new(&required_env("CONTAINERD_V2_BIN")).join("../base/pods/pause")
}

/// The releases of containerd that the tests run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Release {
    /// 1.6, of Debian.
    V1_6,
    /// 1.7, which `scripts/containerd-1.7.sh` builds.
    V1_7,
    /// 2.4, that of the local cluster.
    V2_4,
}

impl Release {
    /// The directory of its programs.
    fn bin(self) -> PathBuf {
        match self {
            Self::V1_6 => PathBuf::from("/usr/bin"),
            Self::V1_7 => PathBuf::from(required_env("CONTAINERD_1_7_BIN")),
            Self::V2_4 => PathBuf::from(required_env("CONTAINERD_V2_BIN")),
        }
    }

    /// The version of its configuration's format.
    fn configuration_version(self) -> u32 {
        match self {
            Self::V1_6 | Self::V1_7 => 2,
            Self::V2_4 => 3,
        }
    }
}

impl Containerd {
    /// The current containerd.
    pub fn v2() -> Self {
        Self::of(Release::V2_4)
    }

    /// A containerd of this release, without its CRI plugin.
    pub fn of(release: Release) -> Self {
        Self::start(release, None)
    }

    /// A containerd of this release with its CRI plugin and this configuration of its plugins; it works in CRI's namespace.
    pub fn with_cri(release: Release, plugins: &str) -> Self {
        Self::start(release, Some(plugins))
    }

    fn start(release: Release, cri: Option<&str>) -> Self {
        let dir = tempfile::Builder::new().prefix("ctrd").tempdir().expect("a temporary directory");
        let (namespace, disabled, plugins) = match cri {
            Some(plugins) => ("k8s.io".to_owned(), DISABLED.to_owned(), plugins),
            None => (name_of(&dir), format!("{DISABLED}, \"io.containerd.grpc.v1.cri\", \"io.containerd.nri.v1.nri\""), ""),
        };
        let state = tempfile::Builder::new().prefix("ctrd").tempdir_in("/dev/shm").expect("a directory in memory");
        // containerd makes its own directory so: a pod with users of its own has to reach its root file system.
        fs::set_permissions(state.path(), fs::Permissions::from_mode(0o711)).expect("the directory is ours");
        let root = dir.path().display();
        let text = format!(
            "version = {}\nroot = \"{root}/root\"\nstate = \"{}\"\ndisabled_plugins = [{disabled}]\n\
             [grpc]\naddress = \"{root}/sock\"\n[ttrpc]\naddress = \"{root}/sock.ttrpc\"\n{plugins}",
            release.configuration_version(),
            state.path().display()
        );
        fs::write(dir.path().join("config.toml"), text).expect("the configuration can be written");
        let mut containerd = Self { dir, state, bin: release.bin(), namespace, process: None };
        containerd.run_daemon();
        containerd
    }

    fn run_daemon(&mut self) {
        let shims = required_env("SPIN_SHIM_DIR");
        let path = format!("{shims}:{}:{}", self.bin.display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new(self.bin.join("containerd"));
        command.arg("--config").arg(self.dir.path().join("config.toml")).env("PATH", path);
        self.process = Some(Process::start(&mut command, &self.dir.path().join("log")));
        // Before a `ctr` is started to ask, which takes a second where processors are emulated.
        wait_for("containerd's socket", 30, || UnixStream::connect(self.socket()).map(drop));
        wait_for("containerd", 30, || holds(self.ctr(&["version"]).status.success()));
    }

    /// Ends containerd by `signal` and starts it again on the same state.
    pub fn restart(&mut self, signal: i32) {
        self.process.as_mut().expect("containerd runs").end(signal);
        self.run_daemon();
    }

    /// Has containerd stand still as long as what is returned lives: connections to it are accepted, and nothing is answered.
    pub fn stand_still(&self) -> impl Drop {
        Still::new(self.process.as_ref().expect("containerd runs").id())
    }

    /// A `ctr` command against this containerd. The namespace is as unique as the directory, except that of CRI: `ctr` names cgroups by
    /// namespace and task alone, and tasks of two tests must not share one.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.bin.join("ctr"));
        command.arg("--address").arg(self.socket()).arg("-n").arg(self.namespace()).args(args).stdin(Stdio::null());
        command
    }

    /// Runs `ctr` to its end.
    pub fn ctr(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("ctr can be run")
    }

    /// Runs `ctr`, which must succeed; its standard output.
    pub fn ctr_ok(&self, args: &[&str]) -> String {
        run(&mut self.command(args))
    }

    /// Imports an OCI archive.
    pub fn import(&self, archive: &Path) {
        let path = archive.to_str().expect("a temporary path is text");
        self.ctr_ok(&["images", "import", "--all-platforms", path]);
    }

    /// The process of a task.
    pub fn pid_of(&self, id: &str) -> i32 {
        let list = self.ctr_ok(&["tasks", "ls"]);
        let line = list.lines().find(|line| line.split_whitespace().next() == Some(id));
        let pid = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|pid| pid.parse().ok());
        pid.unwrap_or_else(|| panic!("no task {id} in\n{list}"))
    }

    /// The process of the shim that supervises a task: the parent of the task's process.
    pub fn shim_of(&self, id: &str) -> i32 {
        parent(self.pid_of(id)).expect("the task runs")
    }

    /// The bundle of a task that runs: what containerd writes before it calls the shim.
    pub fn bundle(&self, id: &str) -> PathBuf {
        self.state.path().join("io.containerd.runtime.v2.task").join(self.namespace()).join(id)
    }

    /// The namespace of everything here.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// A name that no other containerd has: that of its directory. Of letters and digits.
    pub fn name(&self) -> String {
        name_of(&self.dir)
    }

    /// The socket of its API.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("sock")
    }

    /// Below this directory are its programs.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// The cgroups of this name: `ctr` puts those of tasks into them, and whoever removes a task leaves them.
    pub fn cgroups(&self) -> impl Iterator<Item = PathBuf> {
        let root = Path::new("/sys/fs/cgroup");
        let hierarchies = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
        hierarchies.chain([root.to_owned()]).map(|hierarchy| hierarchy.join(self.name())).filter(|dir| dir.is_dir())
    }

    /// Below this directory is what containerd keeps for while it runs.
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// Below this directory is everything else of this containerd.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// containerd's own log without what it says about its plugins at each start, for the message of a failed test.
    pub fn log(&self) -> String {
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        log.lines().filter(|line| !line.contains("plugin")).map(|line| format!("{line}\n")).collect()
    }

    /// Packs an app as a plain image and runs it in the background; HTTP on a port of loopback.
    pub fn serve(&self, id: &str, app: &SpinApp) -> Task<'_> {
        self.import(&app.plain(&format!("test.local/{id}:1")));
        self.run(id, &format!("test.local/{id}:1"), &[])
    }

    /// Packs an app as a plain image, whatever it holds, and runs it to its end: exit code and what it said.
    pub fn run_to_end(&self, id: &str, app: &SpinApp, flags: &[&str]) -> (Option<i32>, String) {
        self.import(&app.plain(&format!("test.local/{id}:1")));
        let listen = format!("SPIN_HTTP_LISTEN_ADDR=127.0.0.1:{}", free_port());
        let output =
            self.ctr(&[&run_under_the_shim(&["--rm"], &listen), flags, &[&format!("test.local/{id}:1"), id, "/"]].concat());
        (output.status.code(), said(&output))
    }

    /// Runs an image that was imported with nobody attached, so that containerd may end meanwhile; the address of the app.
    pub fn run_detached(&self, id: &str, image: &str) -> String {
        let address = format!("127.0.0.1:{}", free_port());
        let listen = format!("SPIN_HTTP_LISTEN_ADDR={address}");
        self.ctr_ok(&[&run_under_the_shim(&["-d", "--null-io"], &listen)[..], &[image, id, "/"]].concat());
        format!("http://{address}")
    }

    /// Runs an image that was imported, under the shim, in the background.
    pub fn run(&self, id: &str, image: &str, flags: &[&str]) -> Task<'_> {
        let port = free_port();
        let listen = format!("SPIN_HTTP_LISTEN_ADDR=127.0.0.1:{port}");
        let args = [&run_under_the_shim(&[], &listen), flags, &[image, id, "/"]].concat();
        let out = self.dir.path().join(format!("{id}.out"));
        let file = fs::File::create(&out).expect("the output file can be made");
        let other = file.try_clone().expect("the output file can be shared");
        let ctr = self.command(&args).stdout(file).stderr(other).spawn().expect("ctr can be run");
        Task { containerd: self, id: id.to_owned(), port, out, ctr }
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("containerd's log:\n{}", self.log());
        }
        let tasks = String::from_utf8_lossy(&self.ctr(&["tasks", "ls", "-q"]).stdout).into_owned();
        for id in tasks.split_whitespace() {
            self.ctr(&["tasks", "rm", "--force", id]);
        }
        let containers = String::from_utf8_lossy(&self.ctr(&["containers", "ls", "-q"]).stdout).into_owned();
        for id in containers.split_whitespace() {
            self.ctr(&["containers", "rm", id]);
        }
        self.cgroups().for_each(|dir| fs::remove_dir(dir).unwrap_or_else(|error| eprintln!("a cgroup is left: {error}")));
    }
}

fn name_of(dir: &tempfile::TempDir) -> String {
    dir.path().file_name().and_then(OsStr::to_str).expect("a temporary directory has a name of text").to_owned()
}

/// What every `ctr run` of a Spin app begins with: how it is run, its network, its runtime, the variable that says where it listens.
fn run_under_the_shim<'a>(how: &[&'a str], listen: &'a str) -> Vec<&'a str> {
    [&["run"], how, &["--net-host", shares(), "--runtime", "io.containerd.spin.v2", "--env", listen]].concat()
}

/// `ctr`'s flag for the share of processors: its own default, or none where cgroups of version 2 have no controller for it.
pub fn shares() -> &'static str {
    let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers");
    let without = controllers.is_ok_and(|names| !names.split_whitespace().any(|name| name == "cpu"));
    if without { "--cpu-shares=0" } else { "--cpu-shares=1024" }
}

/// Stops a process until it is dropped.
struct Still(i32);

impl Still {
    fn new(pid: i32) -> Self {
        signal(pid, libc::SIGSTOP);
        Self(pid)
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        signal(self.0, libc::SIGCONT);
    }
}

/// A task of a test, its `ctr run` in the foreground of a child.
#[derive(Debug)]
pub struct Task<'a> {
    containerd: &'a Containerd,
    id: String,
    port: u16,
    out: PathBuf,
    ctr: Child,
}

impl Task<'_> {
    /// The answer to `GET path`, waited for until the app listens.
    pub fn get(&self, path: &str) -> Answer {
        let url = self.url(path);
        wait_for(&format!("{url} ({})", self.said()), 60, || get(&url).map_err(|error| format!("{error}; said: {}", self.said())))
    }

    /// An address of the app.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Its container's process.
    pub fn pid(&self) -> i32 {
        self.containerd.pid_of(&self.id)
    }

    /// Sends a signal.
    pub fn kill(&self, signal: &str) {
        self.containerd.ctr_ok(&["tasks", "kill", "-s", signal, &self.id]);
    }

    /// Stops the reader of its output until the returned value is dropped.
    pub fn stop_reading(&self) -> impl Drop {
        Still::new(i32::try_from(self.ctr.id()).expect("a pid is positive"))
    }

    /// What its standard output and error hold so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.out).unwrap_or_default()
    }

    /// Waits until it has said all of that: its words come by way of containerd, later than its answers.
    pub fn wait_to_say(&self, words: &[&str]) {
        wait_for("words", 10, || match self.said() {
            said if words.iter().all(|word| said.contains(word)) => Ok(()),
            said => Err(format!("{words:?} are not all in: {said}")),
        });
    }

    /// Waits for its end; the exit code.
    pub fn wait(&mut self) -> Option<i32> {
        wait_for("the end of a task", 60, || match self.ctr.try_wait() {
            Ok(Some(status)) => Ok(status.code()),
            Ok(None) => Err(format!("{} still runs: {}", self.id, self.said())),
            Err(error) => Err(error.to_string()),
        })
    }
}

impl Drop for Task<'_> {
    fn drop(&mut self) {
        self.containerd.ctr(&["tasks", "kill", "-s", "KILL", &self.id]);
        if std::thread::panicking() {
            // The task may still be in the making, and not be killed then.
            let _ended_already = self.ctr.kill();
        }
        let _ended = self.ctr.wait();
        self.containerd.ctr(&["containers", "rm", &self.id]);
    }
}
