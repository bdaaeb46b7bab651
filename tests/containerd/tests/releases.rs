//! What users rely on, under each release of containerd that is supported: 1.6, 1.7 and 2.4, with `ctr` and over CRI.

use std::fs;
use std::path::Path;

use containerd_tests::leftovers::{assert_deleted_task_leaves_nothing, assert_removed_pod_leaves_nothing};
use harness::containerd::pause_program;
use harness::cri::Node;
use harness::cri::v1::LinuxContainerResources;
use harness::http::get;
use harness::process::said;
use harness::wait::holds;
use harness::{Containerd, Release, SpinApp, image, wait_for};

/// Makes each of these functions a test for each release.
macro_rules! with_each_release {
    ($($test:ident)*) => {
        with_release!(containerd_1_6, V1_6, $($test)*);
        with_release!(containerd_1_7, V1_7, $($test)*);
        with_release!(containerd_2_4, V2_4, $($test)*);
    };
}

macro_rules! with_release {
    ($module:ident, $release:ident, $($test:ident)*) => {
        mod $module {
            $(#[test]
            fn $test() {
                super::$test(super::Release::$release);
            })*
        }
    };
}

with_each_release! {
    spin_app_answers
    program_runs_in_an_apps_container
    paused_app_answers_when_it_is_resumed
    killed_app_has_the_signals_exit_code
    native_container_gives_its_output_and_exit_code
    metrics_count_an_apps_memory
    tasks_run_on_when_containerd_restarts
    deleted_task_leaves_nothing
    pod_answers_logs_executes_and_is_counted
    removed_pod_leaves_nothing
}

/// An app's directory with busybox, for programs that run in its container.
fn app_with_busybox() -> SpinApp {
    let app = SpinApp::http("hello-p2", "");
    fs::copy("/bin/busybox", app.dir().join("busybox")).expect("busybox-static is installed");
    app
}

/// Imports an image of one program of the node.
fn import_program(containerd: &Containerd, program: &Path, name: &str) -> String {
    let files = tempfile::tempdir().expect("a directory");
    fs::copy(program, files.path().join(name)).expect("the program is there");
    let archive = containerd.dir().join(format!("{name}.tar"));
    let reference = format!("test.local/{name}:1");
    image::from_scratch(files.path(), &reference, &archive);
    containerd.import(&archive);
    reference
}

fn spin_app_answers(release: Release) {
    let containerd = Containerd::of(release);
    let task = containerd.serve("answers", &SpinApp::http("hello-p2", ""));
    assert_eq!(task.get("/").status, 200);
}

fn program_runs_in_an_apps_container(release: Release) {
    let containerd = Containerd::of(release);
    let task = containerd.serve("execs", &app_with_busybox());
    task.get("/");
    let program = ["/busybox", "sh", "-c", "echo said; exit 7"];
    let output = containerd.ctr(&[&["tasks", "exec", "--exec-id", "one", "execs"], &program[..]].concat());
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(7), &b"said\n"[..]), "{output:?}");
}

fn paused_app_answers_when_it_is_resumed(release: Release) {
    let containerd = Containerd::of(release);
    let task = containerd.serve("paused", &SpinApp::http("hello-p2", ""));
    task.get("/");
    containerd.ctr_ok(&["tasks", "pause", "paused"]);
    assert!(containerd.ctr_ok(&["tasks", "ls"]).contains("PAUSED"));
    containerd.ctr_ok(&["tasks", "resume", "paused"]);
    assert_eq!(task.get("/").status, 200);
}

fn killed_app_has_the_signals_exit_code(release: Release) {
    let containerd = Containerd::of(release);
    let app = SpinApp::http("hello-p2", "");
    for (signal, code) in [("TERM", 0), ("KILL", 137)] {
        let mut task = containerd.serve(&format!("killed-by-{}", signal.to_lowercase()), &app);
        task.get("/");
        task.kill(signal);
        assert_eq!(task.wait(), Some(code), "{signal}");
    }
}

fn native_container_gives_its_output_and_exit_code(release: Release) {
    let containerd = Containerd::of(release);
    let image = import_program(&containerd, Path::new("/bin/busybox"), "busybox");
    let run = ["run", "--rm", "--runtime", "io.containerd.spin.v2", &image, "native"];
    let output = containerd.ctr(&[&run[..], &["/busybox", "sh", "-c", "echo said; exit 7"]].concat());
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(7), &b"said\n"[..]), "{output:?}");
}

fn metrics_count_an_apps_memory(release: Release) {
    let containerd = Containerd::of(release);
    let task = containerd.serve("counted", &SpinApp::http("hello-p2", ""));
    task.get("/");
    let metrics = containerd.ctr_ok(&["tasks", "metrics", "counted"]);
    let used = metrics.lines().find(|line| line.starts_with("memory.usage"));
    let bytes = used.and_then(|line| line.split_whitespace().last()?.parse::<u64>().ok());
    assert!(bytes.is_some_and(|bytes| bytes > 0), "{metrics}");
}

/// Tasks are started without anyone attached: `ctr` would end with containerd.
fn tasks_run_on_when_containerd_restarts(release: Release) {
    let mut containerd = Containerd::of(release);
    containerd.import(&SpinApp::http("hello-p2", "").plain("test.local/app:1"));
    let url = containerd.run_detached("app", "test.local/app:1");
    let image = import_program(&containerd, &pause_program(), "pause");
    containerd.ctr_ok(&["run", "-d", "--null-io", "--runtime", "io.containerd.spin.v2", &image, "native", "/pause"]);
    let pids = ["app", "native"].map(|id| containerd.pid_of(id));
    containerd.restart(libc::SIGTERM);
    assert_eq!(["app", "native"].map(|id| containerd.pid_of(id)), pids);
    assert_eq!(get(&url).map(|answer| answer.status), Ok(200));
    for id in ["app", "native"] {
        containerd.ctr_ok(&["tasks", "kill", "-s", "KILL", id]);
        wait_for("the end to be known", 20, || {
            holds(containerd.ctr_ok(&["tasks", "ls"]).lines().any(|line| line.starts_with(id) && line.contains("STOPPED")))
        });
        let deleted = said(&containerd.ctr(&["tasks", "rm", id]));
        assert!(deleted.contains("exit code 137"), "{id}: {deleted}");
    }
}

fn deleted_task_leaves_nothing(release: Release) {
    assert_deleted_task_leaves_nothing(&Containerd::of(release));
}

fn pod_answers_logs_executes_and_is_counted(release: Release) {
    let node = Node::of(release);
    let pod = node.pod("whole");
    let limits = || LinuxContainerResources { memory_limit_in_bytes: 128 << 20, ..Default::default() };
    let app = pod.app(limits());
    let sidecar = pod.program("sidecar", &["sh", "-c", "echo said; /busybox sleep 1000000"], limits());
    assert_eq!(app.get("/index.html").status, 200);
    wait_for("the sidecar's log", 20, || holds(sidecar.said().contains("stdout F said\n")));
    for container in [&app, &sidecar] {
        assert_eq!(container.exec(&["sh", "-c", "exit 7"]).code, 7);
        let memory = container.stats().memory.and_then(|memory| memory.working_set_bytes);
        assert!(memory.as_ref().is_some_and(|bytes| bytes.value > 0), "{memory:?}");
    }
    let processes = pod.stats().process.and_then(|process| process.process_count);
    assert!(processes.as_ref().is_some_and(|count| count.value >= 2), "{processes:?}");
}

fn removed_pod_leaves_nothing(release: Release) {
    assert_removed_pod_leaves_nothing(&Node::of(release));
}
