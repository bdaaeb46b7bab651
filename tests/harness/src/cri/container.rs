//! A container of a pod.

use std::fs;
use std::path::{Path, PathBuf};

use k8s_cri::v1::{
    ContainerConfig, ContainerMetadata, ContainerState, ContainerStats, ContainerStatsRequest, ContainerStatus,
    ContainerStatusRequest, ContainerStatusResponse, CreateContainerRequest, ExecSyncRequest, ImageSpec, LinuxContainerConfig,
    LinuxContainerResources, LinuxContainerSecurityContext, RemoveContainerRequest, SecurityProfile, StartContainerRequest,
    StopContainerRequest, UpdateContainerResourcesRequest,
};

use super::pod::pid_in;
use super::{Client, Pod};
use crate::cgroup::Cgroup;
use crate::http::{Answer, get};
use crate::wait::{patience, wait_for};

/// A container that was created; it ends with its pod.
#[derive(Debug)]
pub struct Container<'a> {
    pod: &'a Pod<'a>,
    id: String,
    log: PathBuf,
    address: Option<String>,
}

/// What a program said that was run in a container.
#[derive(Debug)]
pub struct Executed {
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// Its exit code.
    pub code: i32,
}

impl<'a> Container<'a> {
    pub(super) fn create(
        pod: &'a Pod<'a>,
        name: &str,
        image: &str,
        command: &[&str],
        edit: impl FnOnce(&mut ContainerConfig),
    ) -> Self {
        let security = LinuxContainerSecurityContext {
            namespace_options: Some(pod.namespaces()),
            seccomp: Some(SecurityProfile::default()),
            ..Default::default()
        };
        let mut config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: name.to_owned(), attempt: 0 }),
            image: Some(ImageSpec { image: image.to_owned(), ..Default::default() }),
            command: command.iter().map(|&word| word.to_owned()).collect(),
            log_path: format!("{name}.log"),
            linux: Some(LinuxContainerConfig { security_context: Some(security), ..Default::default() }),
            ..Default::default()
        };
        edit(&mut config);
        let request = CreateContainerRequest {
            pod_sandbox_id: pod.id().to_owned(),
            config: Some(config),
            sandbox_config: Some(pod.config().clone()),
        };
        let response = pod.node().client().call(async |mut cri| cri.create_container(request).await);
        let id = response.unwrap_or_else(|status| panic!("CreateContainer {name}: {status}")).container_id;
        let log = Path::new(&pod.config().log_directory).join(format!("{name}.log"));
        Self { pod, id, log, address: None }
    }

    pub(super) fn started(self) -> Self {
        let request = StartContainerRequest { container_id: self.id.clone() };
        let response = self.client().call(async |mut cri| cri.start_container(request).await);
        response.unwrap_or_else(|status| panic!("StartContainer: {status}"));
        self
    }

    pub(super) fn at(self, address: String) -> Self {
        Self { address: Some(address), ..self }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its first process.
    pub fn pid(&self) -> i32 {
        pid_in(&self.status_response(true).info)
    }

    /// Where its cgroup has to be.
    pub fn cgroup(&self) -> Cgroup {
        self.pod.cgroup().of_container(&self.id)
    }

    /// The answer to `GET path`, waited for until it listens.
    pub fn get(&self, path: &str) -> Answer {
        let url = self.url(path);
        wait_for(&url, 60, || {
            get(&url).map_err(|error| {
                let (state, said) = (self.status().state(), self.said());
                assert_eq!(state, ContainerState::ContainerRunning, "it said: {said}");
                format!("{error}; it said: {said}")
            })
        })
    }

    /// What it has written to its standard output and error, as the kubelet finds it.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// An address of the app.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address.as_ref().expect("an app has an address"))
    }

    /// Runs a program of busybox in it to its end.
    pub fn exec(&self, command: &[&str]) -> Executed {
        let request = ExecSyncRequest {
            container_id: self.id.clone(),
            cmd: [&["/busybox"], command].concat().into_iter().map(str::to_owned).collect(),
            timeout: patience(30).as_secs().cast_signed(),
        };
        let response = self.client().call(async |mut cri| cri.exec_sync(request).await);
        let response = response.unwrap_or_else(|status| panic!("ExecSync {command:?}: {status}"));
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Executed { stdout: text(response.stdout), stderr: text(response.stderr), code: response.exit_code }
    }

    /// Runs a program of busybox in it, which must succeed; its standard output.
    pub fn exec_ok(&self, command: &[&str]) -> String {
        let executed = self.exec(command);
        assert_eq!(executed.code, 0, "{command:?}: {executed:?}");
        executed.stdout
    }

    /// What CRI says of it.
    pub fn status(&self) -> ContainerStatus {
        self.status_response(false).status.expect("a container has a status")
    }

    /// The same once it has ended.
    pub fn ended(&self) -> ContainerStatus {
        wait_for("the end of a container", 60, || match self.status() {
            status if status.state() == ContainerState::ContainerExited => Ok(status),
            status => Err(format!("{status:?}")),
        })
    }

    /// What it uses.
    pub fn stats(&self) -> ContainerStats {
        let request = ContainerStatsRequest { container_id: self.id.clone() };
        let response = self.client().call(async |mut cri| cri.container_stats(request).await);
        response.unwrap_or_else(|status| panic!("ContainerStats: {status}")).stats.expect("a container has statistics")
    }

    /// Gives it other limits; what is not set stays as it was.
    pub fn update(&self, resources: LinuxContainerResources) {
        let request =
            UpdateContainerResourcesRequest { container_id: self.id.clone(), linux: Some(resources), ..Default::default() };
        let response = self.client().call(async |mut cri| cri.update_container_resources(request).await);
        response.unwrap_or_else(|status| panic!("UpdateContainerResources: {status}"));
    }

    /// Stops it, with `seconds` between SIGTERM and SIGKILL.
    pub fn stop(&self, seconds: i64) {
        let request = StopContainerRequest { container_id: self.id.clone(), timeout: seconds };
        let response = self.client().call(async |mut cri| cri.stop_container(request).await);
        response.unwrap_or_else(|status| panic!("StopContainer: {status}"));
    }

    /// Removes it.
    pub fn remove(self) {
        let request = RemoveContainerRequest { container_id: self.id.clone() };
        let response = self.client().call(async |mut cri| cri.remove_container(request).await);
        response.unwrap_or_else(|status| panic!("RemoveContainer: {status}"));
    }

    fn status_response(&self, verbose: bool) -> ContainerStatusResponse {
        let request = ContainerStatusRequest { container_id: self.id.clone(), verbose };
        let response = self.client().call(async |mut cri| cri.container_status(request).await);
        response.unwrap_or_else(|status| panic!("ContainerStatus: {status}"))
    }

    fn client(&self) -> &'a Client {
        self.pod.node().client()
    }
}
