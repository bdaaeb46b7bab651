//! Pods over containerd's CRI, as a kubelet makes them, under the cgroup driver that `SPIN_TEST_CGROUP_DRIVER` names. All but the
//! tests whose names begin with `spin_app` also hold for the pods of runc (`SPIN_TEST_HANDLER=runc`).

use std::io::{Read, Write};
use std::net::TcpStream;

use containerd_tests::leftovers::assert_removed_pod_leaves_nothing;
use harness::cgroup::Cgroup;
use harness::cri::v1::{ContainerState, LinuxContainerResources};
use harness::cri::{Container, Node};
use harness::process::switches;
use harness::wait::holds;
use harness::wait_for;

const MIB: i64 = 1 << 20;

/// A memory limit, in bytes, and nothing else.
fn memory(limit: i64) -> LinuxContainerResources {
    LinuxContainerResources { memory_limit_in_bytes: limit, ..Default::default() }
}

/// 128 MiB and half a processor.
fn limited() -> LinuxContainerResources {
    LinuxContainerResources { cpu_period: 100_000, cpu_quota: 50_000, cpu_shares: 512, ..memory(128 * MIB) }
}

#[test]
fn pod_with_an_app_and_a_sidecar_answers() {
    let node = Node::shared();
    let pod = node.pod("answers");
    let (app, sidecar) = (pod.app(limited()), pod.sidecar(limited()));
    assert_eq!(app.get("/index.html").status, 200);
    assert_eq!(sidecar.status().state(), ContainerState::ContainerRunning);
}

#[test]
fn sandbox_app_and_sidecar_are_in_the_pods_cgroup() {
    let node = Node::shared();
    let pod = node.pod("inside");
    let (app, sidecar) = (pod.app(limited()), pod.sidecar(limited()));
    assert_eq!(Cgroup::of(pod.pid()), pod.cgroup().of_container(pod.id()));
    assert_eq!(Cgroup::of(app.pid()), app.cgroup());
    assert_eq!(Cgroup::of(sidecar.pid()), sidecar.cgroup());
}

#[test]
fn program_run_in_a_container_is_in_the_containers_cgroup() {
    let node = Node::shared();
    let pod = node.pod("exec_inside");
    for container in [pod.app(limited()), pod.sidecar(limited())] {
        let first_process = container.exec_ok(&["cat", "/proc/1/cgroup"]);
        assert_eq!(container.exec_ok(&["cat", "/proc/self/cgroup"]), first_process);
    }
}

#[test]
fn program_run_in_a_container_gives_its_output_and_exit_code() {
    let node = Node::shared();
    let pod = node.pod("exec_says");
    for container in [pod.app(limited()), pod.sidecar(limited())] {
        let executed = container.exec(&["sh", "-c", "echo out; echo err >&2; exit 7"]);
        assert_eq!((executed.stdout.as_str(), executed.stderr.as_str(), executed.code), ("out\n", "err\n", 7));
    }
}

#[test]
fn containers_have_the_limits_that_were_asked_for() {
    let node = Node::shared();
    let pod = node.pod("limits");
    for container in [pod.app(limited()), pod.sidecar(limited())] {
        let cgroup = Cgroup::of(container.pid());
        assert_eq!(cgroup.memory_limit(), Some(128 << 20));
        assert_eq!(cgroup.cpu_limit(), "50000 100000");
    }
}

#[test]
fn updated_limits_hold_at_once() {
    let node = Node::shared();
    let pod = node.pod("updated");
    for container in [pod.app(limited()), pod.sidecar(limited())] {
        container.update(LinuxContainerResources { cpu_period: 100_000, cpu_quota: 20_000, ..memory(96 * MIB) });
        let cgroup = Cgroup::of(container.pid());
        assert_eq!((cgroup.memory_limit(), cgroup.cpu_limit().as_str()), (Some(96 << 20), "20000 100000"));
    }
}

/// 128 MiB and this many processors.
fn processors(count: i64) -> LinuxContainerResources {
    LinuxContainerResources { cpu_period: 100_000, cpu_quota: count * 100_000, ..memory(128 * MIB) }
}

/// How often a thread of the process has waited so far; none where there is no such thread.
fn waits_of(pid: i32, thread: &str) -> Option<u64> {
    let threads = switches(pid).expect("it runs");
    threads.into_iter().find(|(name, _)| name == thread).map(|(_, waits)| waits)
}

/// Asks on several new connections, all of them open at the same time.
fn ask_side_by_side(app: &Container<'_>, connections: usize) {
    let address = app.url("").trim_start_matches("http://").to_owned();
    let mut streams: Vec<_> = (0..connections).map(|_| TcpStream::connect(&address).expect("it listens")).collect();
    for stream in &mut streams {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").expect("it reads");
        assert!(stream.read(&mut [0; 4096]).expect("it answers") > 0);
    }
}

#[test]
fn spin_app_follows_its_quota_of_processors_while_it_runs() {
    let node = Node::shared();
    let pod = node.pod("resized");
    let app = pod.app(processors(1));
    app.get("/");
    ask_side_by_side(&app, 2);
    let pid = app.pid();
    assert_eq!(waits_of(pid, "http-1"), None, "one thread serves");
    for _ in 0..2 {
        app.update(processors(2));
        wait_for("a second thread to serve", 10, || {
            let before = waits_of(pid, "http-1");
            ask_side_by_side(&app, 2);
            holds(waits_of(pid, "http-1") > before)
        });
        app.update(processors(1));
        wait_for("one thread to serve", 10, || {
            let before = waits_of(pid, "http-1");
            ask_side_by_side(&app, 4);
            holds(waits_of(pid, "http-1") == before)
        });
    }
    assert_eq!(app.get("/").status, 200);
}

#[test]
fn spin_app_says_that_it_does_not_run_another_command() {
    let node = Node::shared();
    let words = |list: &[&str]| list.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let cases = [
        (&["/bin/sh", "-c"][..], &["exit 0; token=secret"][..], Some("/bin/sh")),
        (&["/"], &["--once"], Some("/")),
        (&[], &["migrate"], Some("migrate")),
        (&["/"], &[], None),
        (&[], &[], None),
    ];
    for (number, (command, args, first)) in cases.into_iter().enumerate() {
        let pod = node.pod(&format!("command_{number}"));
        let app = pod.app_with(|config| (config.command, config.args) = (words(command), words(args)));
        assert_eq!(app.get("/").status, 200);
        wait_for("its first lines", 10, || holds(app.said().contains("Available Routes")));
        let said = app.said();
        let sentence = first.map(|first| format!("the container's command, which begins with {first:?}, is not run"));
        assert_eq!(said.contains("is not run"), first.is_some(), "{command:?} {args:?}: {said}");
        assert!(sentence.is_none_or(|sentence| said.contains(&sentence)) && !said.contains("secret"), "{said}");
    }
}

#[test]
fn statistics_of_a_pod_count_its_containers() {
    let node = Node::shared();
    let pod = node.pod("counted");
    let (app, _sidecar) = (pod.app(limited()), pod.sidecar(limited()));
    app.get("/index.html");
    let used = app.stats().memory.and_then(|memory| memory.working_set_bytes).expect("an app uses memory").value;
    assert!(used > 0 && used < 128 << 20, "{used}");
    let stats = pod.stats();
    let processes = stats.process.as_ref().and_then(|process| process.process_count);
    assert!(processes.is_some_and(|count| count.value >= 2), "{stats:?}");
    let memory = stats.memory.as_ref().and_then(|memory| memory.working_set_bytes);
    assert!(memory.is_some_and(|bytes| bytes.value >= used / 2), "{stats:?}");
    let cpu = stats.cpu.as_ref().and_then(|cpu| cpu.usage_core_nano_seconds);
    assert!(cpu.is_some_and(|nanoseconds| nanoseconds.value > 0), "{stats:?}");
}

/// The limits of the pod hold containers that have none of their own.
#[test]
fn memory_limit_of_a_pod_holds_its_containers() {
    let node = Node::shared();
    let pod = node.pod_within("pod_limit", 64 << 20);
    assert_eq!(pod.cgroup().memory_limit(), Some(64 << 20));
    let greedy = pod.program("greedy", &["tail", "/dev/zero"], LinuxContainerResources::default());
    assert_eq!(greedy.ended().exit_code, 137);
}

#[test]
fn container_beyond_its_memory_limit_is_reported_as_killed_for_want_of_memory() {
    let node = Node::shared();
    let pod = node.pod("oom");
    // Several times: the report may depend on who comes first, the one who counts kills or the one who removes the counter.
    for round in 0..5 {
        let greedy = pod.program(&format!("greedy_{round}"), &["tail", "/dev/zero"], memory(20 * MIB)).ended();
        assert_eq!((greedy.exit_code, greedy.reason.as_str()), (137, "OOMKilled"), "round {round}");
    }
}

#[test]
fn spin_app_beyond_its_memory_limit_is_reported_as_killed_for_want_of_memory() {
    let node = Node::shared();
    let pod = node.pod("spin_oom");
    let app = pod.app(limited());
    app.get("/");
    let _no_answer = harness::http::get(&app.url("/?allocate=200000000"));
    let ended = app.ended();
    assert_eq!((ended.exit_code, ended.reason.as_str()), (137, "OOMKilled"));
}

#[test]
fn spin_app_stops_within_its_grace_period() {
    let node = Node::shared();
    let pod = node.pod("spin_stop");
    let app = pod.app(limited());
    app.get("/");
    app.stop(60);
    let ended = app.ended();
    assert_eq!((ended.exit_code, ended.reason.as_str()), (0, "Completed"));
}

/// What the kernel says of the filters of a process: 2 where there is one.
fn seccomp(status: &str) -> &str {
    status.lines().find_map(|line| line.strip_prefix("Seccomp:")).expect("the kernel has seccomp").trim()
}

#[test]
fn every_process_of_a_container_has_the_runtimes_seccomp_filter() {
    let node = Node::shared();
    let pod = node.pod("seccomp");
    for container in [pod.app(limited()), pod.sidecar(limited())] {
        assert_eq!(seccomp(&container.exec_ok(&["cat", "/proc/1/status"])), "2", "the first process");
        assert_eq!(seccomp(&container.exec_ok(&["cat", "/proc/self/status"])), "2", "a program run in the container");
    }
}

#[test]
fn removed_container_leaves_no_cgroup() {
    let node = Node::shared();
    let pod = node.pod("removed");
    for container in [pod.app(limited()), pod.sidecar(limited())] {
        let cgroup = Cgroup::of(container.pid());
        assert!(!cgroup.dirs().is_empty());
        container.stop(0);
        container.remove();
        assert!(cgroup.dirs().is_empty(), "{:?}", cgroup.dirs());
    }
}

#[test]
fn removed_pod_leaves_no_cgroup_process_or_mount() {
    assert_removed_pod_leaves_nothing(&Node::shared());
}
