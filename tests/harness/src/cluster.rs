//! The two-node cluster that `make up` brought up, asked by kubectl.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::process::{run, said};
use crate::required_env;
use crate::wait::wait_for;

/// The node that runs wasm.
pub const WORKER: &str = "k3d-bachelors-project-worker-0";
/// The ordinary node.
pub const SERVER: &str = "k3d-bachelors-project-server-0";
/// Where the restaurant answers.
pub const URL: &str = "http://localhost:8088";

/// A `kubectl` command.
pub fn kubectl(args: &[&str]) -> Command {
    let mut command = Command::new(required_env("KUBECTL"));
    command.env("KUBECONFIG", required_env("KUBECONFIG")).args(args).stdin(Stdio::null());
    command
}

/// Runs `kubectl`, which must succeed; its standard output.
pub fn kube(args: &[&str]) -> String {
    run(&mut kubectl(args)).trim().to_owned()
}

/// Runs `kubectl` and takes what it says, either way.
pub fn kube_says(args: &[&str]) -> String {
    said(&kubectl(args).output().expect("kubectl can be run"))
}

/// A shell command on a node.
pub fn on_node(node: &str, script: &str) -> Output {
    Command::new("docker").args(["exec", node, "sh", "-c", script]).output().expect("docker can be run")
}

/// Pods of one test, in a namespace of its own that goes with the value.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes it.
    pub fn new(name: &str) -> Self {
        run(&mut kubectl(&["create", "namespace", name]));
        Self { name: name.to_owned() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `kubectl -n NAME args…`, which must succeed.
    pub fn kube(&self, args: &[&str]) -> String {
        kube(&[&["-n", &self.name], args].concat())
    }

    /// `kubectl -n NAME args…`, whatever it says.
    pub fn says(&self, args: &[&str]) -> String {
        kube_says(&[&["-n", &self.name], args].concat())
    }

    /// Applies a manifest.
    pub fn apply(&self, yaml: &str) {
        let mut child =
            kubectl(&["-n", &self.name, "apply", "-f", "-"]).stdin(Stdio::piped()).spawn().expect("kubectl can be run");
        child.stdin.take().expect("stdin is piped").write_all(yaml.as_bytes()).expect("kubectl reads");
        assert!(child.wait().expect("kubectl ends").success(), "kubectl apply refused\n{yaml}");
    }

    /// Applies a Spin pod of this name and image; `extra` goes into the container's table (JSON members, each with a leading comma).
    pub fn spin_pod(&self, pod: &str, image: &str, extra: &str) {
        self.apply(&format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {pod}, labels: {{app: {pod}}}}}, spec: {{runtimeClassName: wasmtime-spin, \
             containers: [{{name: app, image: '{image}', imagePullPolicy: IfNotPresent, command: ['/']{extra}}}]}}}}"
        ));
    }

    /// Waits until a pod is Ready, within a minute.
    pub fn ready(&self, what: &str) {
        self.kube(&["wait", "--for=condition=Ready", "--timeout=90s", what]);
    }

    /// Waits until `jsonpath` of an object gives a text that has `needle` in it.
    pub fn wait_for(&self, object: &str, jsonpath: &str, needle: &str) -> String {
        let path = format!("jsonpath={jsonpath}");
        wait_for(&format!("{object} {jsonpath} to have {needle:?}"), 90, || match self.says(&["get", object, "-o", &path]) {
            text if text.contains(needle) => Ok(text),
            text => Err(text),
        })
    }

    /// The body of `GET path` on a pod, through the API server's proxy.
    pub fn get(&self, pod: &str, path: &str) -> Result<String, String> {
        let raw = format!("/api/v1/namespaces/{}/pods/{pod}:80/proxy{path}", self.name);
        let output = kubectl(&["get", "--raw", &raw]).output().expect("kubectl can be run");
        if output.status.success() { Ok(String::from_utf8_lossy(&output.stdout).into_owned()) } else { Err(said(&output)) }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.says(&["describe", "pods"]));
            eprintln!("{}", self.says(&["logs", "--all-containers", "--prefix", "--selector=app", "--tail=40"]));
        }
        self.says(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}
