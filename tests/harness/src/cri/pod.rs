//! A pod: its cgroup, its sandbox and its containers.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::panic::resume_unwind;
use std::thread;

use k8s_cri::v1::{
    ContainerConfig, KeyValue, LinuxContainerResources, LinuxPodSandboxConfig, LinuxPodSandboxStats, LinuxSandboxSecurityContext,
    NamespaceMode, NamespaceOption, PodSandboxConfig, PodSandboxMetadata, PodSandboxStatsRequest, PodSandboxStatusRequest,
    RemovePodSandboxRequest, RunPodSandboxRequest, SecurityProfile, StopPodSandboxRequest,
};
use serde_json::Value;

use super::node::{APP, BUSYBOX};
use super::{Container, Handler, Node, PodCgroup};
use crate::http::free_port;

/// A running pod, usually in the node's network; removed with the value.
#[derive(Debug)]
pub struct Pod<'a> {
    config: PodSandboxConfig,
    sandbox: Sandbox<'a>,
    // After what is in it.
    cgroup: PodCgroup,
}

/// A pod as CRI knows it; removed with the value, and its containers with it.
#[derive(Debug)]
struct Sandbox<'a> {
    node: &'a Node,
    id: String,
}

impl<'a> Pod<'a> {
    pub(super) fn run(
        node: &'a Node,
        name: &str,
        handler: &str,
        memory_limit: Option<u64>,
        edit: impl FnOnce(&mut NamespaceOption),
    ) -> Self {
        let mut namespaces = namespaces();
        edit(&mut namespaces);
        let cgroup = PodCgroup::new(node.driver(), &node.containerd().name(), name, memory_limit);
        let security = LinuxSandboxSecurityContext {
            namespace_options: Some(namespaces),
            seccomp: Some(SecurityProfile::default()),
            ..Default::default()
        };
        let linux = LinuxPodSandboxConfig {
            cgroup_parent: cgroup.parent().to_owned(),
            security_context: Some(security),
            ..Default::default()
        };
        let config = PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: name.to_owned(),
                uid: name.to_owned(),
                namespace: "test".to_owned(),
                attempt: 0,
            }),
            log_directory: node.containerd().dir().join("logs").join(name).display().to_string(),
            linux: Some(linux),
            ..Default::default()
        };
        let request = RunPodSandboxRequest { config: Some(config.clone()), runtime_handler: handler.to_owned() };
        let response = node.client().call(async |mut cri| cri.run_pod_sandbox(request).await);
        let id = response.unwrap_or_else(|status| panic!("RunPodSandbox: {status}")).pod_sandbox_id;
        Self { config, sandbox: Sandbox { node, id }, cgroup }
    }

    /// The container that the pod is for: a Spin app, or the same page served by busybox where the handler is runc.
    pub fn app(&self, resources: LinuxContainerResources) -> Container<'_> {
        self.app_with(limited_to(resources))
    }

    /// The same with another configuration.
    pub fn app_with(&self, edit: impl FnOnce(&mut ContainerConfig)) -> Container<'_> {
        let address = format!("127.0.0.1:{}", free_port());
        let listen = KeyValue { key: "SPIN_HTTP_LISTEN_ADDR".to_owned(), value: address.clone() };
        let container = match self.node().handler() {
            Handler::Spin => Container::create(self, "app", APP, &["/"], |config| {
                config.envs.push(listen);
                edit(config);
            }),
            Handler::Runc => Container::create(self, "app", BUSYBOX, &["/busybox", "httpd", "-f", "-p", &address], edit),
        };
        container.started().at(address)
    }

    /// A container that does nothing until it is killed.
    pub fn sidecar(&self, resources: LinuxContainerResources) -> Container<'_> {
        self.sidecar_with(limited_to(resources))
    }

    /// The same with another configuration.
    pub fn sidecar_with(&self, edit: impl FnOnce(&mut ContainerConfig)) -> Container<'_> {
        self.busybox("sidecar", &["sleep", "1000000"], edit)
    }

    /// A container that runs a program of busybox.
    pub fn program(&self, name: &str, command: &[&str], resources: LinuxContainerResources) -> Container<'_> {
        self.busybox(name, command, limited_to(resources))
    }

    fn busybox(&self, name: &str, command: &[&str], edit: impl FnOnce(&mut ContainerConfig)) -> Container<'_> {
        Container::create(self, name, BUSYBOX, &[&["/busybox"], command].concat(), edit).started()
    }

    /// Removes it, but not its cgroup yet.
    pub fn remove(self) -> PodCgroup {
        drop(self.sandbox);
        self.cgroup
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.sandbox.id
    }

    /// Its node.
    pub fn node(&self) -> &'a Node {
        self.sandbox.node
    }

    /// Its cgroup.
    pub fn cgroup(&self) -> &PodCgroup {
        &self.cgroup
    }

    /// The process of its sandbox.
    pub fn pid(&self) -> i32 {
        let request = PodSandboxStatusRequest { pod_sandbox_id: self.id().to_owned(), verbose: true };
        let response = self.node().client().call(async |mut cri| cri.pod_sandbox_status(request).await);
        pid_in(&response.unwrap_or_else(|status| panic!("PodSandboxStatus: {status}")).info)
    }

    /// What `work` returns in the pod's own network.
    pub fn in_network<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let network = File::open(format!("/proc/{}/ns/net", self.pid())).expect("the sandbox has a network");
        let work = || {
            // SAFETY: no pointer is passed. The thread ends with the work.
            let joined = unsafe { libc::setns(network.as_raw_fd(), libc::CLONE_NEWNET) };
            assert_eq!(joined, 0, "{}", io::Error::last_os_error());
            work()
        };
        thread::scope(|scope| scope.spawn(work).join().unwrap_or_else(|panic| resume_unwind(panic)))
    }

    /// What it uses, as the kubelet asks for it.
    pub fn stats(&self) -> LinuxPodSandboxStats {
        let request = PodSandboxStatsRequest { pod_sandbox_id: self.id().to_owned() };
        let response = self.node().client().call(async |mut cri| cri.pod_sandbox_stats(request).await);
        let stats = response.unwrap_or_else(|status| panic!("PodSandboxStats: {status}")).stats;
        stats.and_then(|stats| stats.linux).expect("a pod on Linux has statistics of Linux")
    }

    /// The namespaces of its containers.
    pub(super) fn namespaces(&self) -> NamespaceOption {
        let security = self.config.linux.as_ref().and_then(|linux| linux.security_context.as_ref());
        security.and_then(|security| security.namespace_options.clone()).unwrap_or_default()
    }

    /// How it was made.
    pub(super) fn config(&self) -> &PodSandboxConfig {
        &self.config
    }
}

impl Drop for Sandbox<'_> {
    fn drop(&mut self) {
        let (stop, remove) = (
            StopPodSandboxRequest { pod_sandbox_id: self.id.clone() },
            RemovePodSandboxRequest { pod_sandbox_id: self.id.clone() },
        );
        let client = self.node.client();
        let stopped = client.call(async |mut cri| cri.stop_pod_sandbox(stop).await).map(drop);
        let removed = client.call(async |mut cri| cri.remove_pod_sandbox(remove).await).map(drop);
        if let Err(status) = stopped.and(removed) {
            eprintln!("a pod is left: {status}");
        }
        if std::thread::panicking() {
            let log = self.node.containerd().log();
            let own = log.lines().filter(|line| line.contains(&self.id)).collect::<Vec<_>>().join("\n");
            eprintln!("containerd's log of the pod:\n{own}");
        }
    }
}

/// Sets the limits of a container.
fn limited_to(resources: LinuxContainerResources) -> impl FnOnce(&mut ContainerConfig) {
    |config| config.linux.get_or_insert_default().resources = Some(resources)
}

/// The node's network; everything else of the container's own.
fn namespaces() -> NamespaceOption {
    NamespaceOption {
        network: NamespaceMode::Node.into(),
        pid: NamespaceMode::Container.into(),
        ipc: NamespaceMode::Pod.into(),
        ..Default::default()
    }
}

/// The process in what containerd says of a sandbox or a container when it is asked to be verbose.
pub(super) fn pid_in(info: &HashMap<String, String>) -> i32 {
    let text = info.get("info").expect("containerd is verbose when it is asked to");
    let info: Value = serde_json::from_str(text).expect("it is JSON");
    info["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_else(|| panic!("no pid in {text}"))
}
