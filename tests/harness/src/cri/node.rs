//! A containerd with its CRI plugin, and the images that pods are made of.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use k8s_cri::v1::{IdMapping, NamespaceMode, RuntimeHandlerFeatures, StatusRequest, UserNamespace};

use super::{CgroupDriver, Client, Pod};
use crate::containerd::pause_program;
use crate::process::has_sys_resource;
use crate::shim::program;
use crate::{Containerd, Release, SpinApp, image, wait_for};

/// The image of every pod's sandbox.
const PAUSE: &str = "test.local/pause:1";
/// The image of a container that has busybox and nothing else.
pub(super) const BUSYBOX: &str = "test.local/busybox:1";
/// The image of the Spin app: the guest `probe-http`, and busybox for programs that a test runs in its container.
pub(super) const APP: &str = "test.local/probe:1";

/// The handler of the tested shim for pods with users of their own. containerd can't combine these
/// with options of the handler, unless they are of runc's type.
const USERS: &str = "spin-users";

/// What `busybox-static` installs.
const BUSYBOX_PROGRAM: &str = "/bin/busybox";

/// The runtime handler of a pod.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Handler {
    /// The shim that is tested.
    Spin,
    /// runc, to see that a test asks for what is right.
    Runc,
}

impl Handler {
    /// The one that `SPIN_TEST_HANDLER` names; the shim that is tested where it is not set.
    fn from_env() -> Self {
        match std::env::var("SPIN_TEST_HANDLER").as_deref() {
            Err(_) | Ok("spin") => Self::Spin,
            Ok("runc") => Self::Runc,
            Ok(other) => panic!("SPIN_TEST_HANDLER is spin or runc, not {other}"),
        }
    }

    /// As containerd's configuration names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spin => "spin",
            Self::Runc => "runc",
        }
    }
}

/// A node without a kubelet: the test is the kubelet.
#[derive(Debug)]
pub struct Node {
    client: Client,
    handler: Handler,
    driver: CgroupDriver,
    // Ended last.
    containerd: Containerd,
    /// The network plugin and its configuration.
    _plugins: tempfile::TempDir,
}

impl Node {
    /// The node that all tests share which run at this time; started by the first, ended with the last. Starting containerd and
    /// importing images takes longer than most tests where processors are emulated.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Node>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let node = Arc::new(Self::of(Release::V2_4));
            *shared = Arc::downgrade(&node);
            node
        })
    }

    /// A node with a containerd of this release.
    pub fn of(release: Release) -> Self {
        let (driver, handler) = (CgroupDriver::from_env(), Handler::from_env());
        let plugins = tempfile::tempdir().expect("a temporary directory");
        install_network_plugin(plugins.path());
        let containerd = Containerd::with_cri(release, &configuration(release, driver, plugins.path()));
        let client = Client::connect(&containerd.socket());
        let node = Self { client, handler, driver, containerd, _plugins: plugins };
        node.import_program(PAUSE, &pause_program(), "pause");
        node.import_program(BUSYBOX, Path::new(BUSYBOX_PROGRAM), "busybox");
        let app = SpinApp::http("probe-http", "");
        copy_program(Path::new(BUSYBOX_PROGRAM), &app.dir().join("busybox"));
        node.import(APP, &app.plain(APP));
        node
    }

    /// An image of one program and a web page.
    fn import_program(&self, name: &str, program: &Path, file: &str) {
        let files = tempfile::tempdir().expect("a temporary directory");
        copy_program(program, &files.path().join(file));
        fs::write(files.path().join("index.html"), "served").expect("the page can be written");
        let archive = self.containerd.dir().join(format!("{file}.tar"));
        image::with_command(files.path(), name, &[&format!("/{file}")], &archive);
        self.import(name, &archive);
    }

    /// Imports an image. CRI learns from containerd a little later that it is there.
    pub fn import(&self, name: &str, archive: &Path) {
        self.containerd.import(archive);
        wait_for(name, 20, || match self.client.has_image(name) {
            Ok(true) => Ok(()),
            Ok(false) => Err("CRI does not know it".to_owned()),
            Err(status) => Err(status.to_string()),
        });
    }

    /// A pod without containers. `name` is unique on the node, a word of letters, digits and underscores.
    pub fn pod(&self, name: &str) -> Pod<'_> {
        Pod::run(self, name, self.handler.name(), None, |_| {})
    }

    /// A pod with users of its own (`hostUsers: false`), whose root is the user `root` of the node. Its
    /// network is its own too, and has nothing but loopback.
    pub fn pod_with_users(&self, name: &str, root: u32) -> Pod<'_> {
        let map = vec![IdMapping { container_id: 0, host_id: root, length: 65_536 }];
        let users = UserNamespace { mode: NamespaceMode::Pod.into(), uids: map.clone(), gids: map };
        Pod::run(self, name, self.handler_with_users(), None, |namespaces| {
            namespaces.network = NamespaceMode::Pod.into();
            namespaces.userns_options = Some(users);
        })
    }

    /// A pod whose containers may have this much memory together, in bytes.
    pub fn pod_within(&self, name: &str, memory_limit: u64) -> Pod<'_> {
        Pod::run(self, name, self.handler.name(), Some(memory_limit), |_| {})
    }

    /// Its CRI.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The runtime handler of its pods.
    pub fn handler(&self) -> Handler {
        self.handler
    }

    /// What containerd offers to the kubelet for the handler of pods.
    pub fn features(&self) -> RuntimeHandlerFeatures {
        self.features_of(self.handler.name())
    }

    /// What containerd offers to the kubelet for the handler of pods with users of their own.
    pub fn features_with_users(&self) -> RuntimeHandlerFeatures {
        self.features_of(self.handler_with_users())
    }

    fn handler_with_users(&self) -> &'static str {
        if self.handler == Handler::Spin { USERS } else { self.handler.name() }
    }

    fn features_of(&self, handler: &str) -> RuntimeHandlerFeatures {
        let response = self.client.call(async |mut cri| cri.status(StatusRequest::default()).await);
        let handlers = response.unwrap_or_else(|status| panic!("Status: {status}")).runtime_handlers;
        let found = handlers.into_iter().find(|found| found.name == handler);
        found.and_then(|handler| handler.features).unwrap_or_default()
    }

    /// Who makes its cgroups.
    pub fn driver(&self) -> CgroupDriver {
        self.driver
    }

    /// Its containerd.
    pub fn containerd(&self) -> &Containerd {
        &self.containerd
    }
}

fn copy_program(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
}

/// A network plugin, which connects nothing: a pod with its own network has loopback alone. CRI also wants an address, and gets one
/// that leads nowhere.
const NETWORK_PLUGIN: &str = r#"#!/bin/sh
case $CNI_COMMAND in
ADD)
  interfaces='[{"name":"eth0","sandbox":"'"$CNI_NETNS"'"}]'
  echo '{"cniVersion":"1.0.0","interfaces":'"$interfaces"',"ips":[{"address":"192.0.2.1/32","interface":0}]}'
  ;;
VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["1.0.0"]}' ;;
esac
"#;

/// Puts the plugin and its configuration into a directory.
fn install_network_plugin(directory: &Path) {
    let list = r#"{"cniVersion":"1.0.0","name":"loopback","plugins":[{"type":"loopback-alone"}]}"#;
    let plugin = directory.join("loopback-alone");
    for (path, text) in [(&directory.join("net.conflist"), list), (&plugin, NETWORK_PLUGIN)] {
        fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755)).expect("the program can be made executable");
}

/// What a node's containerd is configured with: the tested shim and runc, each told who makes cgroups.
fn configuration(release: Release, driver: CgroupDriver, plugins: &Path) -> String {
    let (runtime, sandbox_image) = match release {
        Release::V1_6 | Release::V1_7 => ("plugins.'io.containerd.grpc.v1.cri'", format!("sandbox_image = \"{PAUSE}\"\n")),
        Release::V2_4 => ("plugins.'io.containerd.cri.v1.runtime'", String::new()),
    };
    // Releases without one of these plugins leave its table aside.
    let mut text = format!(
        "[plugins.'io.containerd.nri.v1.nri']\ndisable = true\n\
         [plugins.'io.containerd.cri.v1.images'.pinned_images]\nsandbox = \"{PAUSE}\"\n"
    );
    // Without the capability runc fails where a container is to be killed later than containerd itself.
    let restricted = !has_sys_resource();
    text += &format!("[{runtime}]\n{sandbox_image}restrict_oom_score_adj = {restricted}\n");
    let systemd = driver == CgroupDriver::Systemd;
    for handler in ["spin", "runc"] {
        // containerd 1.6 passes options on to runc's type alone, so that names the shim by its path where it needs them.
        let runtime_type = match (release, handler) {
            (Release::V1_6, "spin") if systemd => {
                format!("runtime_type = \"io.containerd.runc.v2\"\nruntime_path = \"{}\"", program().display())
            }
            _ => format!("runtime_type = \"io.containerd.{handler}.v2\""),
        };
        text += &format!(
            "[{runtime}.containerd.runtimes.{handler}]\n{runtime_type}\n\
             [{runtime}.containerd.runtimes.{handler}.options]\nSystemdCgroup = {systemd}\n"
        );
    }
    if release == Release::V2_4 {
        text += &network_and_users(runtime, driver, plugins);
    }
    text
}

/// The network plugin, and the handler for pods with users of their own.
fn network_and_users(runtime: &str, driver: CgroupDriver, plugins: &Path) -> String {
    let plugins = plugins.display();
    let network =
        format!("[{runtime}.cni]\nbin_dirs = [\"{plugins}\"]\nconf_dir = \"{plugins}\"\nuse_internal_loopback = true\n");
    let users = format!("{runtime}.containerd.runtimes.{USERS}");
    let handler = match driver {
        CgroupDriver::Cgroupfs => format!("[{users}]\nruntime_type = \"io.containerd.spin.v2\"\n"),
        CgroupDriver::Systemd => format!(
            "[{users}]\nruntime_type = \"io.containerd.runc.v2\"\nruntime_path = {:?}\n[{users}.options]\nSystemdCgroup = true\n",
            program()
        ),
    };
    network + &handler
}
