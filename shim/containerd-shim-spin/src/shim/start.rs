//! `start`: one daemon for each pod.
//!
//! The socket is bound before there is a daemon, so that containerd can connect the moment we are done, while the daemon is still starting: its
//! connection waits in the backlog.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use containerd_shim::Flags;
use containerd_shim::bootstrap::{BootstrapParams, BootstrapResult, LogLevel};
use containerd_shim_protos::TASK_API_VERSION;
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use rustix::fs::Mode;
use rustix::process::umask;
use serde::Deserialize;

use crate::cgroup::Cgroup;
use crate::daemon::{Daemon, RuntimeOptions};
use crate::sys::{self, Fork};

/// Containers with the same value here belong to one pod.
const SANDBOX_ID: &str = "io.kubernetes.cri.sandbox-id";
/// Set by containerd 1.7 and later, to the newest version of the task API that they know. They read a JSON reply; older ones take
/// the whole reply for the address.
const MAX_SHIM_VERSION: &str = "MAX_SHIM_VERSION";
/// The version of containerd 1.7, which refuses any newer one. The daemon serves it too.
const OLDEST_API_VERSION: i32 = 2;

/// How containerd called, which decides how it reads the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// 2.3 and later: a message in, a message out.
    Bootstrap,
    /// 1.7 to 2.2, with the version of the task API that it shall use.
    Json(i32),
    /// 1.6.
    Plain,
}

/// What the daemon has to know.
#[derive(Debug, PartialEq)]
struct Start {
    dialect: Dialect,
    grpc: String,
    ttrpc: String,
    socket_dir: Option<String>,
    debug: bool,
    /// The daemon's cgroup; empty: this process's.
    shim_cgroup: String,
}

/// What this process goes on as.
pub enum Part {
    /// The caller's child, with containerd's reply.
    Start(Vec<u8>),
    /// A copy of it.
    Daemon(Daemon),
}

/// Finds the daemon of this container's pod or starts it.
///
/// The daemon is a copy of this process and not another execution, which would be a millisecond of every pod's start.
pub fn start(flags: Flags, input: &[u8]) -> Result<Part> {
    let start = Start::read(&flags, input, |name| std::env::var(name).ok())?;
    let group = group_of(Path::new("config.json"), &flags.id)?;
    let root = start.socket_dir.clone().unwrap_or_else(|| format!("{}/s", containerd_shim::SOCKET_ROOT));
    let path = socket_path(&root, &start.grpc, &flags.namespace, &group);
    if let Some(listener) = claim(Path::new(&path))? {
        protect();
        match enter_cgroup(&start.shim_cgroup).and_then(|()| sys::fork().context("starting the daemon")) {
            Ok(Fork::Parent(_)) => {}
            Ok(Fork::Child) => return Ok(Part::Daemon(start.daemon(flags, path.into(), listener))),
            Err(error) => {
                drop(fs::remove_file(path));
                return Err(error);
            }
        }
    }
    let address = format!("unix://{path}");
    // containerd 1.6 looks here for the daemon after its own restart.
    fs::write("address", &address).context("writing the bundle's address file")?;
    Ok(Part::Start(start.dialect.reply(&address)?))
}

impl Start {
    fn read(flags: &Flags, input: &[u8], env: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let params = BootstrapParams::parse_from_bytes(input).ok();
        // Older ones send their runtime's options, which can be taken for such a message: only a real one names us.
        let params = params.filter(|params| params.instance_id == flags.id && params.namespace == flags.namespace);
        let options = match &params {
            Some(params) => params.extensions.iter().filter_map(|extension| extension.value.clone().into_option()).collect(),
            None => Any::parse_from_bytes(input).map_or_else(|_no_message| Vec::new(), |options| vec![options]),
        };
        let options = RuntimeOptions::read(options.iter().find(|options| RuntimeOptions::are_in(options)))?;
        let shim_cgroup = options.shim_cgroup;
        let start = match params {
            Some(params) => Self {
                shim_cgroup,
                dialect: Dialect::Bootstrap,
                grpc: params.containerd_grpc_address,
                ttrpc: params.containerd_ttrpc_address,
                socket_dir: params.socket_dir.filter(|dir| !dir.is_empty()),
                debug: flags.debug || params.log_level.value() <= LogLevel::LOG_LEVEL_DEBUG as i32,
            },
            None => Self {
                shim_cgroup,
                dialect: env(MAX_SHIM_VERSION).map_or(Dialect::Plain, |newest| Dialect::Json(api_version(&newest))),
                grpc: flags.address.clone(),
                ttrpc: env("TTRPC_ADDRESS").unwrap_or_default(),
                socket_dir: None,
                debug: flags.debug,
            },
        };
        if start.ttrpc.is_empty() {
            bail!("containerd gave no TTRPC address");
        }
        Ok(start)
    }

    fn daemon(self, flags: Flags, path: PathBuf, listener: UnixListener) -> Daemon {
        let Self { grpc, ttrpc, debug, .. } = self;
        Daemon { pod: flags.id, namespace: flags.namespace, grpc, ttrpc, path, listener, debug }
    }
}

/// The newest version that both sides know; the oldest where the caller's can't be read.
fn api_version(newest: &str) -> i32 {
    newest.trim().parse().map_or(OLDEST_API_VERSION, |newest: i32| newest.clamp(OLDEST_API_VERSION, TASK_API_VERSION))
}

impl Dialect {
    fn reply(self, address: &str) -> Result<Vec<u8>> {
        let protocol = "ttrpc";
        Ok(match self {
            Self::Bootstrap => {
                let (version, address, protocol) = (TASK_API_VERSION, address.to_owned(), protocol.to_owned());
                BootstrapResult { version, address, protocol, ..Default::default() }.write_to_bytes()?
            }
            Self::Json(version) => {
                serde_json::json!({ "version": version, "address": address, "protocol": protocol }).to_string().into_bytes()
            }
            Self::Plain => address.as_bytes().to_vec(),
        })
    }
}

/// The pod's id where the container is in one, else the container's own.
fn group_of(spec: &Path, id: &str) -> Result<String> {
    #[derive(Deserialize)]
    struct Annotated {
        #[serde(default)]
        annotations: HashMap<String, String>,
    }
    let text = fs::read(spec).with_context(|| format!("reading {}", spec.display()))?;
    let mut spec: Annotated = serde_json::from_slice(&text).context("the spec is no JSON")?;
    Ok(spec.annotations.remove(SANDBOX_ID).unwrap_or_else(|| id.to_owned()))
}

/// Short, whatever the ids: a socket's path may have 107 bytes.
fn socket_path(root: &str, containerd: &str, namespace: &str, group: &str) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(format!("{containerd}/{namespace}/{group}"));
    format!("{}/{}", root.trim_end_matches('/'), digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// Binds the socket; none where a daemon answers there already.
fn claim(path: &Path) -> Result<Option<UnixListener>> {
    if let Some(parent) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(parent)
            .with_context(|| format!("making {}", parent.display()))?;
    }
    umask(Mode::from_raw_mode(0o077));
    // The second round is for a socket whose daemon was killed; a third, for two who found that out together.
    for _ in 0..3 {
        match UnixListener::bind(path) {
            Ok(listener) => return Ok(Some(listener)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error).with_context(|| format!("binding {}", path.display())),
        }
        if UnixStream::connect(path).is_ok() {
            return Ok(None);
        }
        let _gone_already = fs::remove_file(path);
    }
    bail!("{} can neither be bound nor connected to", path.display())
}

/// Moves this process, and so the daemon, into the cgroup that the runtime's options name.
fn enter_cgroup(path: &str) -> Result<()> {
    if path.is_empty() {
        return Ok(());
    }
    let entered = Cgroup::of_path(path, false).and_then(Cgroup::existing).and_then(|cgroup| cgroup.enter());
    entered.with_context(|| format!("entering the cgroup {path:?} of the option ShimCgroup"))
}

/// Makes the daemon, which inherits it, a little likelier to be killed for want of memory than containerd, as other shims do.
fn protect() {
    let score = fs::read_to_string(format!("/proc/{}/oom_score_adj", parent_id())).ok();
    if let Some(score) = score.and_then(|score| score.trim().parse::<i32>().ok()) {
        let _not_allowed = fs::write("/proc/self/oom_score_adj", (score + 1).min(1000).to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> Flags {
        Flags { id: "c1".into(), namespace: "k8s.io".into(), address: "/run/c.sock".into(), ..Default::default() }
    }

    /// An environment in which every variable but one has its own name as a path, and that one this value.
    fn environment<'a>(version: Option<&'a str>) -> impl Fn(&str) -> Option<String> + 'a {
        move |name| match name {
            MAX_SHIM_VERSION => version.map(str::to_owned),
            name => Some(format!("/{name}")),
        }
    }

    #[test]
    fn containerd_1_6_gets_a_plain_address() {
        let start = Start::read(&flags(), b"", environment(None)).expect("enough");
        assert_eq!((start.dialect, start.ttrpc.as_str()), (Dialect::Plain, "/TTRPC_ADDRESS"));
        assert_eq!(start.dialect.reply("unix:///s").expect("encodes"), b"unix:///s");
    }

    #[test]
    fn containerd_1_7_to_2_2_send_options_and_get_json_with_a_version_that_they_know() {
        let options = Any { type_url: "containerd.runc.v1.Options".into(), value: vec![8, 1], ..Default::default() };
        let input = options.write_to_bytes().expect("encodes");
        for (newest, version) in [("2", 2), ("3", 3), ("4", 3), ("1", 2), ("two", 2)] {
            let start = Start::read(&flags(), &input, environment(Some(newest))).expect("enough");
            let reply = start.dialect.reply("unix:///s").expect("encodes");
            let reply: serde_json::Value = serde_json::from_slice(&reply).expect("JSON");
            assert_eq!(reply, serde_json::json!({ "version": version, "address": "unix:///s", "protocol": "ttrpc" }), "{newest}");
        }
    }

    #[test]
    fn containerd_2_3_sends_a_message_and_gets_one() {
        let params = BootstrapParams {
            instance_id: "c1".into(),
            namespace: "k8s.io".into(),
            containerd_ttrpc_address: "/t".into(),
            socket_dir: Some("/run/x".into()),
            ..Default::default()
        };
        let start = Start::read(&flags(), &params.write_to_bytes().expect("encodes"), environment(None)).expect("enough");
        assert_eq!((start.dialect, start.socket_dir.as_deref()), (Dialect::Bootstrap, Some("/run/x")));
        let reply = BootstrapResult::parse_from_bytes(&start.dialect.reply("unix:///s").expect("encodes")).expect("decodes");
        assert_eq!((reply.version, reply.protocol.as_str()), (3, "ttrpc"));
    }

    #[test]
    fn containers_of_one_pod_share_a_daemon() {
        let dir = tempfile::tempdir().expect("a directory");
        let spec = dir.path().join("config.json");
        fs::write(&spec, r#"{"annotations":{"io.kubernetes.cri.sandbox-id":"pod1"}}"#).expect("written");
        assert_eq!(group_of(&spec, "c1").expect("read"), "pod1");
        fs::write(&spec, "{}").expect("written");
        assert_eq!(group_of(&spec, "c1").expect("read"), "c1");
    }

    #[test]
    fn a_socket_without_a_daemon_is_taken_over_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("s/x");
        let abandoned = claim(&path).expect("bound").expect("ours");
        // Closing it would not do: what another test starts just now has it too, until it is executed.
        rustix::net::shutdown(&abandoned, rustix::net::Shutdown::Both).expect("shut down");
        let listener = claim(&path).expect("taken over").expect("ours");
        assert!(claim(&path).expect("connected").is_none());
        drop(listener);
    }
}
