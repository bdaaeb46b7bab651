//! Servers outside containers: `wasmtime serve`, and the native one as the limit of what this machine can do.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use harness::app::guest;
use harness::http::free_port;
use harness::process::{Process, run};

use crate::error::Error;
use crate::probe;

/// A server that answers until the value is dropped.
#[derive(Debug)]
pub struct Server {
    /// Where.
    pub address: SocketAddr,
    process: Process,
}

impl Server {
    fn start(program: &Path, arguments: impl FnOnce(SocketAddr) -> Vec<String>, log: &Path) -> Result<Self, Error> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let process = Process::start(Command::new(program).args(arguments(address)), log);
        probe::first_200(address)?;
        Ok(Self { address, process })
    }

    /// Its process.
    pub fn pid(&self) -> i32 {
        self.process.id()
    }

    /// The native server.
    pub fn native(program: &Path, log: &Path) -> Result<Self, Error> {
        Self::start(program, |address| vec![address.to_string()], log)
    }
}

/// What `wasmtime serve` is fastest with. The totals are for 512 connections at once, each with an instance of a component of several modules:
/// its own would answer some of them with an error.
const FLAGS: &str = "-Opooling-allocator=y,pooling-pagemap-scan=y,pooling-memory-keep-resident=2097152,pooling-table-keep-resident=1048576,\
    pooling-async-stack-keep-resident=65536,pooling-total-core-instances=10000,pooling-total-component-instances=1000,\
    pooling-total-memories=1000,pooling-total-tables=2000,pooling-total-stacks=1000";

/// wasmtime's command line tool and what it has precompiled.
#[derive(Debug)]
pub struct Wasmtime {
    program: PathBuf,
    dir: tempfile::TempDir,
}

impl Wasmtime {
    /// The tool at this path.
    pub fn new(program: &Path) -> Result<Self, Error> {
        let dir = tempfile::tempdir().map_err(Error::io(std::env::temp_dir()))?;
        Ok(Self { program: program.to_owned(), dir })
    }

    /// Compiles a test guest, on all processors; how long that took.
    pub fn compile(&self, name: &str) -> Duration {
        let began = Instant::now();
        self.compile_to(name, &self.dir.path().join("compiled"));
        began.elapsed()
    }

    fn compile_to(&self, name: &str, code: &Path) {
        run(Command::new(&self.program).args(["compile", FLAGS, "-Wcomponent-model-async=y", "-o"]).arg(code).arg(guest(name)));
    }

    /// Serves a test guest, precompiled, from instances that each answer `reuse` requests.
    pub fn serve(&self, name: &str, reuse: usize) -> Result<Server, Error> {
        let code = self.dir.path().join(format!("{name}.cwasm"));
        if !code.exists() {
            self.compile_to(name, &code);
        }
        let arguments = |address: SocketAddr| {
            let reuse = format!("--max-instance-reuse-count={reuse}");
            let listen = format!("--addr={address}");
            let flags = ["serve", FLAGS, "-Wcomponent-model-async=y", "-Scli=y", "--allow-precompiled", &reuse, &listen];
            flags.into_iter().map(str::to_owned).chain([code.display().to_string()]).collect()
        };
        Server::start(&self.program, arguments, &self.dir.path().join("log"))
    }
}
