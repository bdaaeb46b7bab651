//! Spin pods as Kubernetes sees them. The images are put on the worker by `scripts/test-images.sh`.

use std::sync::atomic::{AtomicBool, Ordering};

use harness::cluster::{Namespace, SERVER, WORKER, kube, on_node};
use harness::{required_env, wait_for};

#[test]
fn a_pod_that_asks_for_the_ordinary_node_stays_pending_with_a_reason() {
    let namespace = Namespace::new("pending");
    namespace.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: lost}}, spec: {{runtimeClassName: wasmtime-spin, nodeSelector: {{kubernetes.io/hostname: {SERVER}}}, \
         containers: [{{name: app, image: 'test.local/hello:1', command: ['/']}}]}}}}"
    ));
    namespace.wait_for("pod/lost", "{.status.conditions[?(@.type=='PodScheduled')].message}", "node affinity/selector");
    assert_eq!(namespace.kube(&["get", "pod", "lost", "-o", "jsonpath={.status.phase}"]), "Pending");
}

#[test]
fn logs_show_what_the_component_said() {
    let namespace = Namespace::new("logs");
    namespace.spin_pod("says", "test.local/probe:1", "");
    namespace.ready("pod/says");
    wait_for("the app", 20, || namespace.get("says", "/?stdout=hello-from-the-guest"));
    wait_for("the log", 20, || match namespace.kube(&["logs", "says"]) {
        logs if logs.contains("hello-from-the-guest") => Ok(()),
        logs => Err(logs),
    });
}

#[test]
fn a_bad_app_says_why_in_its_logs_its_status_and_its_exit_code() {
    let namespace = Namespace::new("bad-app");
    namespace.spin_pod("bad", "test.local/bad:1", "");
    let code =
        "{.status.containerStatuses[0].lastState.terminated.exitCode}{.status.containerStatuses[0].state.terminated.exitCode}";
    namespace.wait_for("pod/bad", code, "64");
    assert!(namespace.kube(&["logs", "bad"]).contains("colour"));
    let message =
        "{.status.containerStatuses[0].lastState.terminated.message}{.status.containerStatuses[0].state.terminated.message}";
    namespace.wait_for("pod/bad", message, "colour");
}

#[test]
fn the_restricted_profile_with_a_read_only_root_holds() {
    let namespace = Namespace::new("restricted");
    kube(&["label", "namespace", "restricted", "pod-security.kubernetes.io/enforce=restricted"]);
    let security = ", securityContext: {readOnlyRootFilesystem: true, runAsNonRoot: true, runAsUser: 65532, allowPrivilegeEscalation: false, \
                    capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}";
    namespace.spin_pod("tight", "test.local/kv:1", security);
    namespace.ready("pod/tight");
    wait_for("the app", 20, || namespace.get("tight", "/"));
}

#[test]
fn a_sidecar_runs_in_the_pod_and_reaches_the_app_on_loopback() {
    let namespace = Namespace::new("sidecar");
    let image = required_env("SIDECAR_IMAGE");
    namespace.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: pair}}, spec: {{runtimeClassName: wasmtime-spin, terminationGracePeriodSeconds: 2, containers: [\
         {{name: app, image: 'test.local/hello:1', command: ['/']}}, \
         {{name: side, image: '{image}', command: ['sh', '-c', 'until curl -sS http://127.0.0.1/ && echo; do sleep 0.2; done; exec sleep 1000']}}]}}}}"
    ));
    namespace.ready("pod/pair");
    wait_for("the sidecar's word", 20, || match namespace.kube(&["logs", "pair", "-c", "side"]) {
        logs if logs.contains("hello") => Ok(()),
        logs => Err(logs),
    });
}

#[test]
fn a_pod_is_deleted_within_its_grace_period() {
    let namespace = Namespace::new("deleted");
    namespace.spin_pod("brief", "test.local/hello:1", "");
    namespace.ready("pod/brief");
    // The default grace period is 30 s; a pod that did not end by itself would still be there after 20.
    namespace.kube(&["delete", "pod", "brief", "--timeout=20s"]);
    assert!(namespace.says(&["get", "pod", "brief"]).contains("NotFound"));
}

#[test]
fn both_forms_of_what_publish_pushed_are_pulled_from_the_registry_and_run() {
    let namespace = Namespace::new("pulled");
    let image = required_env("PULLED_IMAGE");
    for (pod, image) in [("artifact", image.clone()), ("plain", format!("{image}-plain"))] {
        namespace.spin_pod(pod, &image, "");
        namespace.ready(&format!("pod/{pod}"));
        let answer = wait_for("the app", 20, || namespace.get(pod, "/menu"));
        assert!(answer.contains("PIZZA"), "{answer}");
    }
}

#[test]
fn a_name_of_the_cluster_is_resolved_in_an_image_from_scratch() {
    let namespace = Namespace::new("names");
    namespace.spin_pod("asks", "test.local/outbound:1", "");
    namespace.ready("pod/asks");
    for host in ["restaurant.default", "restaurant.default.svc.cluster.local"] {
        let answer = wait_for(host, 20, || namespace.get("asks", &format!("/fetch/{host}/menu")));
        assert!(answer.contains("PIZZA"), "{answer}");
    }
}

#[test]
fn a_deleted_pod_finishes_the_request_it_has() {
    let namespace = Namespace::new("drained");
    namespace.spin_pod("slow", "test.local/probe:1", "");
    namespace.ready("pod/slow");
    let answer = std::thread::scope(|scope| {
        let request = scope.spawn(|| namespace.get("slow", "/?sleep=4000"));
        wait_for("the request to be in the guest", 20, || match namespace.kube(&["logs", "slow"]) {
            logs if logs.contains("sleeping") => Ok(()),
            logs => Err(logs),
        });
        namespace.kube(&["delete", "pod", "slow", "--timeout=25s"]);
        request.join().expect("the client ends")
    });
    assert_eq!(answer, Ok(String::new()));
}

#[test]
fn thirty_replicas_at_once_are_all_ready_with_no_restart() {
    let namespace = Namespace::new("thirty");
    namespace.apply(&deployment("hello", "test.local/hello:1", 30));
    namespace.kube(&["rollout", "status", "deploy/hello", "--timeout=180s"]);
    let restarts = namespace.kube(&["get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].restartCount}"]);
    assert_eq!(restarts, ["0"; 30].join(" "));
}

/// A Deployment of Spin pods, with a readiness probe.
fn deployment(name: &str, image: &str, replicas: u32) -> String {
    format!(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {name}}}, spec: {{replicas: {replicas}, selector: {{matchLabels: {{app: {name}}}}}, \
         template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{runtimeClassName: wasmtime-spin, containers: [{{name: app, image: '{image}', \
         command: ['/'], readinessProbe: {{httpGet: {{path: /.well-known/spin/health, port: 80}}, periodSeconds: 1}}}}]}}}}}}}}"
    )
}

#[test]
fn pods_serve_on_while_containerd_is_terminated_and_killed() {
    let stop = AtomicBool::new(false);
    let before = kube(&[
        "get",
        "pods",
        "-l",
        "app=restaurant",
        "-o",
        "jsonpath={.items[*].metadata.name} {.items[*].status.containerStatuses[*].restartCount}",
    ]);
    let lost = std::thread::scope(|scope| {
        let load = scope.spawn(|| load_until(&stop));
        for signal in ["TERM", "KILL"] {
            restart_containerd(signal);
        }
        stop.store(true, Ordering::Relaxed);
        load.join().expect("the load ends")
    });
    assert_eq!(lost, Vec::<String>::new());
    let after = kube(&[
        "get",
        "pods",
        "-l",
        "app=restaurant",
        "-o",
        "jsonpath={.items[*].metadata.name} {.items[*].status.containerStatuses[*].restartCount}",
    ]);
    assert_eq!(before, after);
}

/// Asks for the menu until told to stop; what went wrong.
fn load_until(stop: &AtomicBool) -> Vec<String> {
    let mut lost = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        match harness::http::get(&format!("{}/menu", harness::cluster::URL)) {
            Ok(answer) if answer.status == 200 => {}
            Ok(answer) => lost.push(format!("{} {}", answer.status, answer.body)),
            Err(error) => lost.push(error),
        }
    }
    lost
}

/// Ends the worker's containerd by a signal and waits until its successor answers and the node is Ready.
fn restart_containerd(signal: &str) {
    let pid = "pidof -s containerd";
    let old = String::from_utf8_lossy(&on_node(WORKER, pid).stdout).into_owned();
    assert!(on_node(WORKER, &format!("kill -{signal} {}", old.trim())).status.success());
    wait_for("another containerd", 60, || {
        let answers = on_node(WORKER, "ctr version").status.success();
        let new = String::from_utf8_lossy(&on_node(WORKER, pid).stdout).into_owned();
        if answers && !new.is_empty() && new != old { Ok(()) } else { Err(format!("pid {new}, answers: {answers}")) }
    });
    kube(&["wait", "--for=condition=Ready", "--timeout=60s", &format!("node/{WORKER}")]);
}
