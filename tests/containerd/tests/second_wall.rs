//! Native code in the place of a guest: the app's process is made to run system calls, as if a guest had broken out of the engine.
//! And what the app still does behind the second wall, although it takes files and system calls that are rare.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::Child;

use containerd_tests::hijack::{Hijacked, int, threads};
use containerd_tests::ways_out::{Surroundings, WAYS_OUT, WayOut};
use containerd_tests::{import_inside, inside, with_inside};
use harness::process::{command_line, pids, status_field};
use harness::{Containerd, SpinApp, Task, wait_for};
use rustix::io::Errno;
use rustix::net::sockopt::{socket_domain, socket_peercred};
use rustix::net::{AddressFamily, SendFlags, send};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use serde_json::json;

/// Rights that a pod does not forbid: all capabilities, no filter, new privileges.
const WEAK: [&str; 2] = ["--privileged", "--allow-new-privs"];

/// A container that is given much of the node.
struct WeakContainer<'a> {
    task: Task<'a>,
    containerd: &'a Containerd,
    _node: tempfile::TempDir,
    _listener: UnixListener,
    sleepers: Vec<(Child, i32)>,
    surroundings: Surroundings,
}

impl<'a> WeakContainer<'a> {
    fn start(containerd: &'a Containerd) -> Self {
        let app = with_inside(SpinApp::http("hello-p2", ""));
        containerd.import(&app.plain("test.local/weak:1"));
        let node = directory_of_the_node();
        let cgroups = first_cgroup();
        let binds = [
            (node.path(), "/node"),
            (containerd.dir(), "/node/containerd"),
            (Path::new("/var/cache/containerd-shim-spin"), "/node/cache"),
            (&cgroups, "/node/cgroup"),
        ];
        let mounts = binds.map(|(from, to)| format!("--mount=type=bind,src={},dst={to},options=rbind:rw", from.display()));
        let flags: Vec<&str> = WEAK.into_iter().chain(mounts.iter().map(String::as_str)).collect();
        let task = containerd.run("weak", "test.local/weak:1", &flags);
        assert_eq!(task.get("/").status, 200);
        let name = format!("second-wall-{}", containerd.namespace());
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).expect("a name")).expect("bound");
        let surroundings = Surroundings { other: 0, abstract_socket: name };
        let mut container = Self { task, containerd, _node: node, _listener: listener, sleepers: Vec::new(), surroundings };
        container.surroundings.other = innermost_pid(container.start_sleeper());
        container
    }

    /// Runs a program in the container that only waits; its process, as the node sees it.
    fn start_sleeper(&mut self) -> i32 {
        let name = format!("sleeper-{}", self.sleepers.len());
        let exec = ["tasks", "exec", "--exec-id", &name, "weak", "/inside", "sleep"];
        let ctr = self.containerd.command(&exec).spawn().expect("ctr can be run");
        let mounts = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
        let app = mounts(self.task.pid());
        let is_known = |pid: &i32| self.sleepers.iter().any(|(_, known)| known == pid);
        let is_new = |pid: &i32| !is_known(pid) && command_line(*pid) == "/inside\0sleep\0" && mounts(*pid) == app;
        let pid = wait_for("the program", 10, || pids().into_iter().find(is_new).ok_or("it does not run"));
        self.sleepers.push((ctr, pid));
        pid
    }

    /// The outcome of each attempt in a thread, by its name.
    fn try_all(&self, thread: i32) -> BTreeMap<&'static str, Result<u64, i32>> {
        let attempt = |(name, attempt, _): &WayOut| (*name, attempt(&mut Hijacked::new(thread), &self.surroundings));
        WAYS_OUT.iter().map(attempt).collect()
    }
}

impl Drop for WeakContainer<'_> {
    fn drop(&mut self) {
        // They end with the container.
        self.containerd.ctr(&["tasks", "kill", "-s", "KILL", "weak"]);
        self.sleepers.iter_mut().for_each(|(ctr, _)| drop(ctr.wait()));
    }
}

fn directory_of_the_node() -> tempfile::TempDir {
    let node = tempfile::tempdir().expect("a directory");
    for name in ["secret", "removed", "renamed"] {
        fs::write(node.path().join(name), "of the node").expect("written");
    }
    for name in ["containerd", "cache", "cgroup"] {
        fs::create_dir(node.path().join(name)).expect("made");
    }
    node
}

/// The directory of a hierarchy's root cgroup, of whichever version.
fn first_cgroup() -> PathBuf {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.procs").exists() { root.to_owned() } else { root.join("memory") }
}

/// The number that a process has in its own namespace of processes.
fn innermost_pid(pid: i32) -> i32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).expect("it has numbers");
    numbers.split_whitespace().last().and_then(|number| number.parse().ok()).expect("one at least")
}

#[test]
fn native_code_in_an_apps_process_finds_no_way_out() {
    let containerd = Containerd::v2();
    let container = WeakContainer::start(&containerd);
    let expected: BTreeMap<_, _> = WAYS_OUT.iter().map(|(name, _, error)| (*name, Err(*error))).collect();
    assert!(expected.len() >= 40, "{} ways out", expected.len());
    for thread in threads(container.task.pid()) {
        let outcomes = container.try_all(thread);
        let different: Vec<_> = outcomes.iter().filter(|(name, outcome)| expected[*name] != **outcome).collect();
        assert!(different.is_empty(), "{different:?}");
    }
    assert_eq!(container.task.get("/").status, 200, "the app still answers");
}

/// The local sockets of a process that another process has the other end of.
fn sockets_to_others(pid: i32) -> Vec<OwnedFd> {
    let process = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()).expect("it runs");
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let descriptors = numbers.filter_map(|number| pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).ok());
    let is_to_another = |socket: &OwnedFd| {
        let is_local = socket_domain(socket).is_ok_and(|domain| domain == AddressFamily::UNIX);
        is_local && socket_peercred(socket).is_ok_and(|peer| peer.pid.as_raw_pid() != pid)
    };
    descriptors.filter(is_to_another).collect()
}

#[test]
fn app_that_serves_can_not_send_to_the_shims_daemon() {
    let containerd = Containerd::v2();
    let task = containerd.serve("mute", &SpinApp::http("hello-p2", ""));
    assert_eq!(task.get("/").status, 200);
    let sockets = sockets_to_others(task.pid());
    assert_eq!(sockets.len(), 1, "by which the daemon tells it the quota of processors");
    for socket in sockets {
        assert_eq!(send(&socket, b"\"ready\"\n", SendFlags::NOSIGNAL), Err(Errno::PIPE));
    }
}

#[test]
fn the_same_ways_are_open_to_another_process_of_the_container() {
    let containerd = Containerd::v2();
    let mut container = WeakContainer::start(&containerd);
    let process = container.start_sleeper();
    let outcomes = container.try_all(process);
    let closed: Vec<_> = outcomes.iter().filter(|(_, outcome)| outcome.is_err()).collect();
    assert!(closed.is_empty(), "closed of {}: {closed:?}", outcomes.len());
}

#[test]
fn every_thread_of_an_app_is_restricted_where_the_pod_restricts_none() {
    let containerd = Containerd::v2();
    let container = WeakContainer::start(&containerd);
    let pid = container.task.pid();
    let threads = threads(pid);
    assert!(threads.len() > 1);
    for thread in threads {
        let fields = ["Seccomp", "Seccomp_filters", "NoNewPrivs"].map(|name| status_field(pid, thread, name));
        assert_eq!(fields, ["2", "1", "1"]);
    }
}

#[test]
fn a_program_run_by_exec_and_a_sidecar_have_what_the_pod_gives_them() {
    let containerd = Containerd::v2();
    let _app = WeakContainer::start(&containerd);
    import_inside(&containerd, "test.local/sidecar:1");
    let sidecar = [&["run", "-d", "--null-io", "--runtime", "io.containerd.spin.v2"][..], &WEAK[..]].concat();
    containerd.ctr_ok(&[&sidecar[..], &["test.local/sidecar:1", "sidecar", "/inside", "sleep"]].concat());
    for container in ["weak", "sidecar"] {
        let exec = &inside(&containerd, container, &["status"])["own"];
        assert_eq!(["Seccomp", "Seccomp_filters", "NoNewPrivs"].map(|name| exec[name].clone()), ["0", "0", "0"]);
    }
    let pid = containerd.pid_of("sidecar");
    assert_eq!(["Seccomp", "NoNewPrivs"].map(|name| status_field(pid, pid, name)), ["0", "0"]);
}

#[test]
fn an_app_with_a_store_in_files_writes_its_directory_alone() {
    let containerd = Containerd::v2();
    let (state, app) = (tempfile::tempdir().expect("a directory"), SpinApp::http("hello-p2", "key_value_stores = [\"default\"]"));
    containerd.import(&app.plain("test.local/store:1"));
    let mount = format!("--mount=type=bind,src={},dst=/.spin,options=rbind:rw", state.path().display());
    let task = containerd.run("store", "test.local/store:1", &[&WEAK[..], &[&mount]].concat());
    assert_eq!(task.get("/").status, 200);
    let mut process = Hijacked::new(task.pid());
    let mut make = |path: &str| {
        let path = process.text(path);
        let flags = int(libc::O_CREAT | libc::O_WRONLY);
        process.call(libc::SYS_openat, [int(libc::AT_FDCWD), path, flags, 0o600]).map(drop)
    };
    assert_eq!(
        [make("/.spin/made"), make("/made"), make("/proc/sys/kernel/core_pattern")],
        [Ok(()), Err(libc::EACCES), Err(libc::EACCES)]
    );
}

#[test]
fn an_app_whose_seccomp_profile_forbids_the_filter_ends_with_a_sentence() {
    let containerd = Containerd::v2();
    let profile = tempfile::NamedTempFile::new().expect("a file");
    let rule = json!({ "names": ["seccomp"], "action": "SCMP_ACT_ERRNO" });
    let text = json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"], "syscalls": [rule] });
    fs::write(profile.path(), text.to_string()).expect("written");
    let flag = format!("--seccomp-profile={}", profile.path().display());
    let (code, said) = containerd.run_to_end("forbidden", &SpinApp::http("hello-p2", ""), &["--seccomp", &flag]);
    assert!(code == Some(66) && said.contains("must allow seccomp"), "{code:?}: {said}");
}

#[test]
fn a_host_is_found_by_its_name() {
    let containerd = Containerd::v2();
    let backend = containerd.serve("backend", &SpinApp::http("hello-p2", ""));
    assert_eq!(backend.get("/").status, 200);
    let app = SpinApp::http("outbound", "allowed_outbound_hosts = [\"http://localhost:*\"]");
    // The name stands in the node's /etc/hosts, which the container has.
    let task = containerd.serve("names", &app);
    let answer = task.get(&format!("/fetch?{}", backend.url("/").replace("127.0.0.1", "localhost")));
    assert_eq!((answer.status, answer.body.trim()), (200, "hello"));
}

#[test]
fn instances_of_the_second_pool_are_made() {
    let containerd = Containerd::v2();
    let task = containerd.serve("pools", &SpinApp::http("probe-http", "files = [\"assets/*\"]").file("assets/page", b"page"));
    assert_eq!(task.get("/?read=/assets/page").body, "page");
    // The first pool has 64 places.
    let sleep = || harness::http::get(&task.url("/?sleep=3000")).map(|answer| answer.status);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let requests: Vec<_> = (0..90).map(|_| scope.spawn(sleep)).collect();
        requests.into_iter().map(|request| request.join().expect("no panic")).collect()
    });
    assert_eq!(answers, vec![Ok(200); 90]);
}
