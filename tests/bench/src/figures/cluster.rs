//! `cluster`: pods of the shim and of the native server under runc, on the same node of the cluster that is up.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use harness::cluster::{Namespace, WORKER, kubectl};
use harness::process::run;
use harness::{SpinApp, wait_for};

use super::GUEST;
use super::start::milliseconds;
use crate::error::Error;
use crate::node::{PLAIN, RUNC, native_image};
use crate::proc::{Processes, of_pods, pss};
use crate::programs::Programs;
use crate::report::{Report, Side};
use crate::scale::Scale;

/// Until pods are ready, or gone.
const PATIENCE: u64 = 300;
/// After the last pod is ready, until the pods count as idle.
const SETTLING: Duration = Duration::from_secs(3);
/// One line for each change of a pod.
const LINE: &str = "jsonpath={.metadata.name} {.status.conditions[?(@.type=='Ready')].status}{'\\n'}";

/// A deployment: its name, what it is in the report, its image and the members of its pods' specs that make the difference.
struct App {
    name: &'static str,
    what: &'static str,
    image: &'static str,
    pod: &'static str,
    command: &'static str,
}

const APPS: [App; 2] = [
    App {
        name: "ours",
        what: PLAIN,
        image: "bench.local/cluster-plain:1",
        pod: "runtimeClassName: wasmtime-spin, ",
        command: "'/'",
    },
    App { name: "peer", what: RUNC, image: "bench.local/cluster-native:1", pod: "", command: "'/hello-native', '0.0.0.0:80'" },
];

/// Whether kubectl can be run and knows the node.
pub fn is_up() -> bool {
    let known = |name| std::env::var_os(name).is_some();
    let asked = || kubectl(&["get", "node", WORKER]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    known("KUBECTL") && known("KUBECONFIG") && asked().is_ok_and(|status| status.success())
}

/// One more pod, all replicas, and the memory of each.
pub fn measure(scale: &Scale, programs: &Programs, report: &mut Report) -> Result<(), Error> {
    report.step("cluster: images and deployments")?;
    import(programs)?;
    let namespace = Namespace::new(&format!("bench-{}", std::process::id()));
    for app in &APPS {
        app.deploy(&namespace);
    }
    let [mut one, mut all, mut memory] = [const { [const { Vec::new() }; 2] }; 3];
    for round in 1..=scale.rounds {
        for (which, app) in APPS.iter().enumerate() {
            report.step(&format!("cluster: {}, round {round} of {}", app.what, scale.rounds))?;
            one[which].push(milliseconds(app.scale_up(&namespace, 2)?));
            app.scale_down(&namespace);
            all[which].push(milliseconds(app.scale_up(&namespace, scale.apps)?));
            memory[which].push(app.pss(&namespace)? / scale.apps as f64);
            app.scale_down(&namespace);
        }
    }
    let replicas = format!("cluster/1 to {} replicas ready", scale.apps);
    let figures =
        [("cluster/pod created to ready", "ms", one), (replicas.as_str(), "ms", all), ("cluster/each pod", "MiB PSS", memory)];
    for (figure, unit, [ours, peer]) in figures {
        report.add(figure, unit, Side::new(PLAIN, ours), Some(Side::new(RUNC, peer)));
    }
    Ok(())
}

/// Run from the repository's root, as `scripts/bench.sh` does.
fn import(programs: &Programs) -> Result<(), Error> {
    let app = SpinApp::http(GUEST, "");
    let archives = [app.plain(APPS[0].image), native_image(APPS[1].image, programs, None)?];
    run(Command::new("scripts/image-import.sh").args(&archives));
    archives.iter().try_for_each(|archive| fs::remove_file(archive).map_err(Error::io(archive)))
}

impl App {
    /// With one replica, which is ready.
    fn deploy(&self, namespace: &Namespace) {
        let Self { name, image, pod, command, .. } = self;
        namespace.apply(&format!(
            "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {name}}}, spec: {{replicas: 1, selector: {{matchLabels: {{app: {name}}}}}, \
             template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{{pod}nodeSelector: {{kubernetes.io/hostname: {WORKER}}}, \
             terminationGracePeriodSeconds: 1, automountServiceAccountToken: false, enableServiceLinks: false, \
             containers: [{{name: app, image: '{image}', imagePullPolicy: IfNotPresent, command: [{command}]}}]}}}}}}}}"
        ));
        namespace.kube(&["rollout", "status", &format!("deployment/{name}"), &format!("--timeout={PATIENCE}s")]);
    }

    /// From the moment the first new pod was there until all of them were ready.
    fn scale_up(&self, namespace: &Namespace, replicas: usize) -> Result<Duration, Error> {
        let arguments = ["get", "pods", "--watch", "-l", &format!("app={}", self.name), "-o", LINE];
        let mut watch = Watch::standing(self.name, || kubectl(&[&["-n", namespace.name()], &arguments[..]].concat()));
        self.scale(namespace, replicas);
        watch.until_ready(self.name, replicas)
    }

    fn scale_down(&self, namespace: &Namespace) {
        self.scale(namespace, 1);
        wait_for("one pod to be left", PATIENCE, || match self.pods(namespace, "{.items[*].metadata.name}") {
            pods if pods.len() == 1 => Ok(()),
            pods => Err(format!("{} pods", pods.len())),
        });
    }

    fn scale(&self, namespace: &Namespace, replicas: usize) {
        namespace.kube(&["scale", &format!("deployment/{}", self.name), &format!("--replicas={replicas}")]);
    }

    fn pods(&self, namespace: &Namespace, jsonpath: &str) -> Vec<String> {
        let (selector, path) = (format!("app={}", self.name), format!("jsonpath={jsonpath}"));
        let text = namespace.kube(&["get", "pods", "-l", &selector, "-o", &path]);
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// Of all pods: their containers, pause among them, and their shims. In MiB.
    fn pss(&self, namespace: &Namespace) -> Result<f64, Error> {
        sleep(SETTLING);
        let uids = self.pods(namespace, "{.items[*].metadata.uid}");
        let (inside, processes) = (of_pods(&uids), Processes::now());
        // Whatever else runs in a container descends from its first process.
        let first: Vec<i32> = inside.into_iter().filter(|pid| processes.shim_of(*pid).is_ok()).collect();
        pss(&processes.serving(&first)?)
    }
}

/// `kubectl get --watch`, each line with the moment it came.
struct Watch {
    kubectl: Child,
    lines: Receiver<(Instant, String)>,
    /// Pods, and whether they are ready.
    pods: BTreeMap<String, bool>,
}

impl Watch {
    /// One that the pod which is there already has shown to stand. A server that has just started may end the first ones.
    fn standing(app: &'static str, command: impl Fn() -> Command) -> Self {
        wait_for("a watch to stand", PATIENCE, || {
            let mut watch = Self::over(command());
            watch.until_ready(app, 1).map(|_| watch)
        })
    }

    fn over(mut command: Command) -> Self {
        let mut kubectl = command.stdout(Stdio::piped()).spawn().expect("kubectl can be run");
        let stdout = BufReader::new(kubectl.stdout.take().expect("stdout is piped"));
        let (send, lines) = channel();
        // It ends with kubectl.
        spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| send.send((Instant::now(), line))));
        Self { kubectl, lines, pods: BTreeMap::new() }
    }

    /// Waits until so many pods are ready; from the first new one's appearance until then.
    fn until_ready(&mut self, app: &'static str, wanted: usize) -> Result<Duration, Error> {
        let deadline = Instant::now() + Duration::from_secs(PATIENCE);
        let mut first_new = None;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let ready = |pods: &BTreeMap<String, bool>| pods.values().filter(|ready| **ready).count();
            let (at, line) = match self.lines.recv_timeout(left) {
                Ok(change) => change,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Error::Pods { app, ready: ready(&self.pods), wanted, seconds: PATIENCE });
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.ended()),
            };
            let (pod, state) = line.split_once(' ').unwrap_or((&line, ""));
            if self.pods.insert(pod.to_owned(), state == "True").is_none() {
                first_new.get_or_insert(at);
            }
            if ready(&self.pods) >= wanted {
                return Ok(at - first_new.unwrap_or(at));
            }
        }
    }

    /// That kubectl, whose words are on our stderr, no longer watches.
    fn ended(&mut self) -> Error {
        let said = self.kubectl.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        Error::Failed { program: "kubectl get --watch", said }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ended_already = self.kubectl.kill();
        let _status = self.kubectl.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_watch_that_ends_before_it_stands_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let script = format!("cd {}; mkdir first && exit 1; echo one True; echo two True; exec sleep 60", dir.path().display());
        let mut watch = Watch::standing("app", || shell(&script));
        watch.until_ready("app", 2).unwrap();
    }

    #[test]
    fn a_watch_that_ended_is_told_from_pods_that_take_too_long() {
        let error = Watch::over(shell("echo one True; exit 3")).until_ready("app", 2).unwrap_err();
        assert_eq!(error.to_string(), "kubectl get --watch failed: exit status: 3");
    }
}
