//! How a container is made, by calling the shim as containerd does.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use containerd_tests::{container, copies, hello, pause, with_cgroups};
use harness::cgroup::Cgroup;
use harness::cri::{CgroupDriver, PodCgroup};
use harness::http::get;
use harness::process::signal;
use harness::shim::{Bundle, Options, program};
use harness::wait::holds;
use harness::{Containerd, SpinApp, wait_for};
use serde_json::{Value, json};

/// A container's init process until it executes its program.
const INIT: &str = "shim:[INIT]\n";

/// The processes in a cgroup, by name.
fn names_in(cgroup: &Path) -> Vec<String> {
    let members = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    members.lines().filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).ok()).collect()
}

/// Those in a container's cgroups.
fn members(containerd: &Containerd, id: &str) -> Vec<String> {
    containerd.cgroups().flat_map(|dir| names_in(&dir.join(id))).collect()
}

#[test]
fn a_container_is_made_while_its_app_is_prepared_and_nothing_is_left_of_it_where_that_is_given_up() {
    let containerd = Containerd::v2();
    container(&containerd, "given-up", &SpinApp::http("hello-p2", "").artifact("test.local/given-up:1"), "/");
    let bundle = Bundle::new(&containerd, "given-up");
    let task = bundle.start(&program());
    let (created, deleted) = std::thread::scope(|scope| {
        // Who prepares an artifact asks containerd for the image.
        let still = containerd.stand_still();
        let created = scope.spawn(|| task.try_create());
        wait_for("the container's process", 10, || match members(&containerd, "given-up") {
            names if names == vec![INIT; names.len()] && !names.is_empty() => Ok(()),
            names => Err(format!("{names:?}")),
        });
        assert!(!created.is_finished());
        let deleted = task.delete();
        let created = created.join().expect("an answer");
        drop(still);
        (created, deleted)
    });
    let error = created.expect_err("it was given up");
    assert!(error.contains("the helper that creates the container was killed"), "{error}");
    deleted.expect_err("there is no task");
    assert_eq!(members(&containerd, "given-up"), Vec::<String>::new());
    assert!(containerd.cgroups().all(|dir| !dir.join("given-up").exists()));
    wait_for("the daemon alone", 10, || holds(copies("given-up").len() == 1));
}

#[test]
fn connect_names_the_daemon_also_before_there_is_a_task() {
    let containerd = Containerd::v2();
    hello(&containerd, "connected");
    let bundle = Bundle::new(&containerd, "connected");
    let task = bundle.start(&program());
    let (daemon, none) = task.connect("");
    assert!(copies("connected").contains(&daemon.cast_signed()), "{daemon}");
    assert_eq!(none, 0);
    let created = task.create();
    assert_eq!(task.connect("connected"), (daemon, created.cast_unsigned()));
}

#[test]
fn daemon_is_in_the_cgroup_that_the_options_name() {
    let containerd = Containerd::v2();
    hello(&containerd, "cgroup-option");
    let pod = PodCgroup::new(CgroupDriver::Cgroupfs, &containerd.name(), "daemons", None);
    let cgroup = pod.make_container("daemon");
    let bundle = Bundle::new(&containerd, "cgroup-option");
    let task = bundle.start_with(&program(), &Options { shim_cgroup: cgroup.path().to_owned(), ..Options::default() });
    task.create();
    // Its first helper is a copy of it, which ends.
    wait_for("the daemon alone", 10, || holds(copies("cgroup-option").len() == 1));
    let daemon = copies("cgroup-option")[0];
    assert_eq!(Cgroup::of(daemon).path(), cgroup.path());
    drop(task);
    // A cgroup can be removed once its last process has left it.
    wait_for("the daemon's end", 10, || cgroup.dirs().iter().try_for_each(fs::remove_dir));
}

/// The cgroup that `ctr` gives a container, in the hierarchy that freezes; made, and who enters it stops.
fn frozen(containerd: &Containerd, id: &str) -> (PathBuf, impl Fn(bool) -> io::Result<()>) {
    let (root, file, frozen, thawed) = match Path::new("/sys/fs/cgroup/freezer") {
        freezer if freezer.is_dir() => (freezer, "freezer.state", "FROZEN", "THAWED"),
        _ => (Path::new("/sys/fs/cgroup"), "cgroup.freeze", "1", "0"),
    };
    let dir = root.join(containerd.namespace()).join(id);
    fs::create_dir_all(&dir).expect("the cgroup can be made");
    let file = dir.join(file);
    let set = move |freeze| fs::write(&file, if freeze { frozen } else { thawed });
    set(true).expect("the cgroup can be frozen");
    (dir, set)
}

#[test]
fn an_init_process_is_born_in_its_cgroup_and_nobody_else_is_ever_there() {
    let containerd = Containerd::v2();
    hello(&containerd, "entered");
    let bundle = Bundle::new(&containerd, "entered");
    let (cgroup, set) = frozen(&containerd, "entered");
    let task = bundle.start(&program());
    let (entered, pid) = std::thread::scope(|scope| {
        let created = scope.spawn(|| task.create());
        let entered = wait_for("somebody in the cgroup", 10, || names_in(&cgroup).into_iter().next().ok_or("there is nobody"));
        set(false).expect("the cgroup can be thawed");
        (entered, created.join().expect("created"))
    });
    // It has its own name only once it is there; libcontainer would have named its processes before it moved one.
    assert_eq!(entered, "containerd-shim\n");
    let everywhere: Vec<_> =
        containerd.cgroups().map(|dir| dir.join("entered/cgroup.procs")).filter(|file| file.exists()).collect();
    assert!(!everywhere.is_empty());
    for file in everywhere {
        assert_eq!(fs::read_to_string(&file).expect("the cgroup is there"), format!("{pid}\n"), "{}", file.display());
    }
}

#[test]
fn an_init_process_that_is_killed_is_no_container_and_leaves_nothing() {
    let containerd = Containerd::v2();
    hello(&containerd, "killed");
    let bundle = Bundle::new(&containerd, "killed");
    let (cgroup, set) = frozen(&containerd, "killed");
    let task = bundle.start(&program());
    let created = std::thread::scope(|scope| {
        let created = scope.spawn(|| task.try_create());
        let pids = || fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
        let pid = wait_for("somebody in the cgroup", 10, || pids().trim().parse().map_err(|_| "there is nobody"));
        signal(pid, 9);
        // In version 1 it ends only now; in version 2 it may be gone, with its cgroup.
        let _gone = set(false);
        created.join().expect("an answer")
    });
    let error = created.expect_err("there is no container");
    assert!(error.contains("init process was killed"), "{error}");
    assert!(containerd.cgroups().all(|dir| !dir.join("killed").exists()));
}

#[test]
fn what_an_init_process_can_not_do_is_said_and_nothing_is_left_of_its_container() {
    let containerd = Containerd::v2();
    hello(&containerd, "impossible");
    let mounted = json!({ "destination": "/data", "type": "bind", "source": "/is/not/there", "options": ["rbind"] });
    let impossible = |spec: &mut Value| spec["mounts"].as_array_mut().expect("there are mounts").push(mounted);
    let bundle = Bundle::new(&containerd, "impossible").edited(impossible);
    let task = bundle.start(&program());
    let error = task.try_create().expect_err("there is nothing to mount");
    assert!(error.contains("rootfs") && error.contains("No such file"), "{error}");
    task.delete().expect_err("there is no task");
    assert!(containerd.cgroups().all(|dir| !dir.join("impossible").exists()));
    let another = Bundle::new(&containerd, "impossible");
    another.start(&program()).create();
}

/// What a controller's file of a container's cgroup says; none where nobody has that controller.
fn limit(containerd: &Containerd, id: &str, files: [&str; 2]) -> Option<String> {
    let dirs: Vec<_> = containerd.cgroups().map(|dir| dir.join(id)).collect();
    dirs.iter().flat_map(|dir| files.map(|file| dir.join(file))).find_map(|file| fs::read_to_string(file).ok())
}

#[test]
fn a_container_is_limited_once_it_is_created() {
    let containerd = Containerd::v2();
    hello(&containerd, "limited");
    let limited = |spec: &mut Value| {
        spec["linux"]["resources"]["memory"] = json!({ "limit": 64 << 20 });
        spec["linux"]["resources"]["pids"] = json!({ "limit": 77 });
    };
    let bundle = Bundle::new(&containerd, "limited").edited(limited);
    let task = bundle.start(&program());
    let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers");
    if controllers.is_ok_and(|controllers| !controllers.contains("memory")) {
        // As in a version 2 whose controllers version 1 holds.
        let error = task.try_create().expect_err("the limit can't be set");
        assert!(error.contains("limits") && error.contains("memory"), "{error}");
        return;
    }
    task.create();
    let (memory, pids) = (["memory.limit_in_bytes", "memory.max"], ["pids.max", "pids.max"]);
    assert_eq!(limit(&containerd, "limited", memory).as_deref(), Some("67108864\n"));
    assert_eq!(limit(&containerd, "limited", pids).as_deref(), Some("77\n"));
    if let Some(devices) = limit(&containerd, "limited", ["devices.list", "devices.list"]) {
        let (null, all, disk) = ("c 1:3 rwm\n", "a *:* rwm\n", "b *:* rwm\n");
        assert!(devices.contains(null) && !devices.contains(all) && !devices.contains(disk), "{devices}");
    }
}

#[test]
fn a_container_that_libcontainer_must_make_is_made_too() {
    let containerd = Containerd::v2();
    let address = hello(&containerd, "timed");
    let bundle = Bundle::new(&containerd, "timed").edited(|spec| {
        spec["linux"]["namespaces"].as_array_mut().expect("there are namespaces").push(json!({ "type": "time" }));
    });
    let task = bundle.run(&program());
    assert_eq!(get(&format!("http://{address}/")).map(|answer| answer.status), Ok(200));
    task.kill(9);
    assert_eq!(task.wait(), 137);
    task.delete().expect("deleted");
}

#[test]
fn a_program_sees_its_cgroup_as_it_is() {
    let containerd = Containerd::v2();
    pause(&containerd, "seeing");
    let bundle = Bundle::new(&containerd, "seeing").edited(with_cgroups);
    let task = bundle.start(&program());
    let pid = task.create();
    task.run().expect("started");
    // One directory for each controller, which is the container's own; or all cgroups there are.
    let seen = PathBuf::from(format!("/proc/{pid}/root/sys/fs/cgroup"));
    let views = [seen.join("pids"), seen.join(containerd.namespace()).join("seeing")];
    let view = views.iter().find(|dir| dir.is_dir()).expect("a view of the cgroups");
    let inside = || fs::read_to_string(view.join("cgroup.procs")).is_ok_and(|pids| pids == format!("{pid}\n"));
    wait_for("the program alone in the cgroup that it sees", 10, || holds(inside()));
}
