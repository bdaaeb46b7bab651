//! A containerd of the bench's own: images on it, and tasks under either runtime.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant, SystemTime};

use harness::http::free_port;
use harness::process::{run, said};
use harness::shim::{self, Bundle};
use harness::{Containerd, SpinApp, Task, image, required_env};

use crate::error::Error;
use crate::probe;
use crate::programs::{self, Programs};

/// After the end of a task: what shim and containerd still do about it would disturb the next measurement.
const AFTERMATH: Duration = Duration::from_millis(150);

/// The names of what is compared.
pub const PLAIN: &str = "plain image";
/// A Spin artifact, its files in one archive layer.
pub const ARTIFACT: &str = "artifact";
/// The peer.
pub const RUNC: &str = "native under runc";

/// An image on the node and how it is run.
#[derive(Clone, Debug)]
pub struct Service {
    /// What it is, in the report.
    pub name: &'static str,
    image: String,
    env: Vec<String>,
}

/// A task that has answered, and how long that took, from the moment `ctr run -d` was executed.
#[derive(Clone, Debug)]
pub struct Started {
    /// Where it answers.
    pub address: SocketAddr,
    /// Until its first 200.
    pub first_200: Duration,
    /// Until `ctr` returned.
    pub returned: Duration,
    /// From the moment containerd wrote the bundle, and had only the shim to call, until the first 200. The file's stamp is up to one tick of
    /// the kernel's clock older than that moment, so this is up to 4 ms too long.
    pub from_bundle: Duration,
}

/// The node.
#[derive(Debug)]
pub struct Node {
    containerd: Containerd,
}

impl Service {
    /// With another environment variable.
    pub fn with(mut self, variable: &str) -> Self {
        self.env.push(variable.to_owned());
        self
    }
}

impl Node {
    /// Starts a containerd with no image.
    pub fn new() -> Self {
        Self { containerd: Containerd::v2() }
    }

    /// The containerd.
    pub fn containerd(&self) -> &Containerd {
        &self.containerd
    }

    /// The app as a plain image.
    pub fn plain(&self, name: &str, app: &SpinApp) -> Service {
        let image = format!("bench.local/{name}-plain:1");
        self.import(&app.plain(&image));
        Service { name: PLAIN, image, env: Vec::new() }
    }

    /// The app as an artifact.
    pub fn artifact(&self, name: &str, app: &SpinApp) -> Service {
        let image = format!("bench.local/{name}-artifact:1");
        let archive = app.dir().with_extension("artifact.tar");
        let mut pack = Command::new(required_env("SPIN_OCI"));
        run(pack.arg("pack").arg(app.dir()).args(["--archive", "--name", &image, "--out"]).arg(&archive));
        self.import(&archive);
        Service { name: ARTIFACT, image, env: Vec::new() }
    }

    /// The native server, alone in an image but for the files of a directory.
    pub fn native(&self, name: &str, programs: &Programs, files: Option<&Path>) -> Result<Service, Error> {
        let image = format!("bench.local/{name}-native:1");
        let archive = native_image(&image, programs, files)?;
        self.import(&archive);
        Ok(Service { name: RUNC, image, env: Vec::new() })
    }

    fn import(&self, archive: &Path) {
        self.containerd.import(archive);
        let _only_disk_space = fs::remove_file(archive);
    }

    /// Runs it, and waits for its first 200.
    pub fn start(&self, service: &Service, id: &str) -> Result<Started, Error> {
        let address = any_address();
        let mut ctr = self.containerd.command(&["run", "-d", "--null-io"]);
        ctr.args(service.arguments(id, address)).stdout(Stdio::piped()).stderr(Stdio::piped());
        let began = Instant::now();
        let child = ctr.spawn().map_err(|source| Error::Run { program: "ctr", source })?;
        let (output, returned, answered) = scope(|scope| {
            let ended = scope.spawn(move || (child.wait_with_output(), began.elapsed()));
            let answered = probe::first_200(address);
            let (output, returned) = ended.join().expect("waiting does not panic");
            (output, returned, answered)
        });
        let output = output.map_err(|source| Error::Run { program: "ctr", source })?;
        if !output.status.success() {
            return Err(Error::Failed { program: "ctr run", said: said(&output) });
        }
        let answered = answered?;
        let from_bundle = answered.clock.duration_since(self.bundle_written(id)?).unwrap_or_default();
        Ok(Started { address, first_200: answered.at - began, returned, from_bundle })
    }

    fn bundle_written(&self, id: &str) -> Result<SystemTime, Error> {
        let path = self.containerd.bundle(id).join("config.json");
        fs::metadata(&path).and_then(|metadata| metadata.modified()).map_err(Error::io(path))
    }

    /// Runs it with its output at hand, until the value is dropped.
    pub fn run(&self, service: &Service, id: &str) -> Task<'_> {
        self.containerd.run(id, &service.image, &[])
    }

    /// Ends a task and removes its container.
    pub fn stop(&self, id: &str) {
        // It ends with the exit code of the task, which was killed.
        self.containerd.ctr(&["tasks", "rm", "--force", id]);
        self.containerd.ctr_ok(&["containers", "rm", id]);
        sleep(AFTERMATH);
    }

    /// Starts it and ends it again.
    pub fn try_start(&self, service: &Service) -> Result<Started, Error> {
        let started = self.start(service, "tried");
        self.stop("tried");
        started
    }

    /// Starts it by calling its shim as containerd would, and ends it again; from the shim's execution to the first 200.
    pub fn own_part(&self, service: &Service) -> Result<Duration, Error> {
        let (id, address) = ("tried", any_address());
        run(self.containerd.command(&["containers", "create"]).args(service.arguments(id, address)));
        let shim = match service.name {
            RUNC => programs::runcs_shim(self.containerd.bin()),
            _ => shim::program(),
        };
        let bundle = Bundle::new(&self.containerd, id);
        let began = Instant::now();
        let task = bundle.start(&shim);
        task.create();
        let answered = scope(|scope| {
            // Not before: who asks takes a processor from who is to be measured, and no service answers before its task is started.
            let answered = scope.spawn(|| probe::first_200(address));
            let ran = task.run();
            let answered = answered.join().expect("asking does not panic");
            ran.map_err(|said| Error::Failed { program: "Start", said }).and(answered)
        });
        drop(task);
        drop(bundle);
        self.containerd.ctr_ok(&["containers", "rm", id]);
        sleep(AFTERMATH);
        Ok(answered?.at - began)
    }

    /// The processes of all tasks.
    pub fn tasks(&self) -> Vec<i32> {
        let list = self.containerd.ctr_ok(&["tasks", "ls"]);
        list.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)?.parse().ok()).collect()
    }
}

impl Service {
    fn arguments(&self, id: &str, address: SocketAddr) -> Vec<String> {
        let (runtime, command) = match self.name {
            RUNC => ("io.containerd.runc.v2", vec!["/hello-native".to_owned(), address.to_string()]),
            _ => ("io.containerd.spin.v2", vec!["/".to_owned()]),
        };
        let listen = format!("SPIN_HTTP_LISTEN_ADDR={address}");
        let mut arguments: Vec<String> = ["--net-host", "--runtime", runtime].map(str::to_owned).into();
        for variable in self.env.iter().chain([&listen]) {
            arguments.extend(["--env".to_owned(), variable.clone()]);
        }
        arguments.extend([self.image.clone(), id.to_owned()]);
        arguments.extend(command);
        arguments
    }
}

fn any_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

/// The native server as an OCI archive, which is the caller's to remove.
pub fn native_image(name: &str, programs: &Programs, files: Option<&Path>) -> Result<PathBuf, Error> {
    let root = tempfile::tempdir().map_err(Error::io(std::env::temp_dir()))?;
    let program = root.path().join("hello-native");
    fs::copy(&programs.native, &program).map_err(Error::io(program))?;
    if let Some(files) = files {
        run(Command::new("cp").arg("-r").arg(files).arg(root.path()));
    }
    let archive = root.path().with_extension("native.tar");
    image::from_scratch(root.path(), name, &archive);
    Ok(archive)
}
