//! The same spec under the shim and under runc: what the kernel says of the processes afterwards is the same, but for what is listed here.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use containerd_tests::{container, inside_program};
use harness::app::SpinApp;
use harness::process::run;
use harness::shim::{Bundle, program};
use harness::wait::holds;
use harness::{Containerd, image, wait_for};
use serde_json::{Value, json};

/// What differs on purpose, with the reason: a part of a view, and for whom.
const DIFFERENCES: [(&str, Who, &str); 8] = [
    ("environment", Who::App, "an app has its environment in its plan, and the allocator's settings in _RJEM_MALLOC_CONF"),
    ("mounts", Who::App, "an app has no use for sysfs, cgroup and mqueue"),
    ("devices", Who::App, "/dev/mqueue is not mounted"),
    ("directory", Who::App, "an app's working directory is its root: the image's own need not exist"),
    ("limits", Who::App, "an app raises its soft limit of open files to the hard one"),
    ("descriptors", Who::App, "its files, its code, its sockets; the tests of isolation look at each"),
    ("status", Who::App, "an app handles and ignores signals as its runtime does, and restricts its own system calls"),
    ("status.Umask", Who::Exec, "an exec has the umask that its process asks for, as the specification has it"),
];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Who {
    Init,
    Exec,
    App,
}

fn runc() -> PathBuf {
    Path::new(&harness::required_env("CONTAINERD_V2_BIN")).join("containerd-shim-runc-v2")
}

/// The files of every image here.
fn put_files(directory: &Path) {
    fs::copy(inside_program(), directory.join("inside")).expect("the program is built");
    fs::create_dir_all(directory.join("etc")).expect("made");
    fs::write(directory.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").expect("written");
    fs::create_dir_all(directory.join("data/deep")).expect("made");
    fs::write(directory.join("data/deep/file"), "of the image").expect("written");
    fs::set_permissions(directory.join("data/deep/file"), fs::Permissions::from_mode(0o640)).expect("set");
    fs::write(directory.join("secret"), "secret").expect("written");
    symlink("/secret", directory.join("link")).expect("linked");
    symlink("deep", directory.join("data/link")).expect("linked");
}

struct Case<'a> {
    containerd: &'a Containerd,
    out: tempfile::TempDir,
}

impl<'a> Case<'a> {
    fn new(containerd: &'a Containerd) -> Self {
        let out = tempfile::tempdir().expect("a directory");
        fs::set_permissions(out.path(), fs::Permissions::from_mode(0o777)).expect("set");
        Self { containerd, out }
    }

    fn wait_for(&self, name: &str) -> Value {
        let path = self.out.path().join(name);
        wait_for(name, 30, || holds(path.exists()));
        serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON")
    }

    /// Runs a container of this spec, a native one or an app's; the views of its processes, without what identifies it.
    fn views(&self, shim: &Path, id: &str, archive: &Path, edit: &dyn Fn(&mut Value)) -> BTreeMap<&'static str, Value> {
        container(self.containerd, id, archive, "/inside");
        let args = json!(["/inside", "look-and-sleep", format!("/out/{id}.init")]);
        let out = json!({ "destination": "/out", "type": "bind", "source": self.out.path(), "options": ["rbind", "rw"] });
        let bundle = Bundle::new(self.containerd, id).edited(|spec| {
            spec["process"]["args"] = args;
            spec["mounts"].as_array_mut().expect("there are mounts").push(out);
            edit(spec);
        });
        let task = bundle.start(shim);
        let pid = task.create();
        task.run().expect("started");
        let is_app = id.starts_with("app");
        let mut views = BTreeMap::new();
        if !is_app {
            views.insert("init", self.wait_for(&format!("{id}.init")));
        }
        let inside = innermost_pid(pid);
        for (exec, subject) in [("exec", "self"), ("app", inside.as_str())] {
            if is_app || exec == "exec" {
                let file = format!("{id}.{exec}");
                task.exec(exec, &["/inside", "look", subject, &format!("/out/{file}")]).expect("noted");
                task.start_exec(exec).expect("started");
                assert_eq!(task.wait_exec(exec), 0, "{exec}");
                views.insert(exec, self.wait_for(&file));
            }
        }
        views.insert("limits", limits(pid));
        views.into_iter().map(|(name, view)| (name, self.normalised(view, id, pid))).collect()
    }

    /// Without what differs from one container to the next.
    fn normalised(&self, view: Value, id: &str, pid: i32) -> Value {
        let mut text = view.to_string();
        for (name, value) in own_namespaces() {
            text = text.replace(&format!("\"{value}\""), &format!("\"the node's {name}\""));
        }
        for (name, value) in namespaces_of(pid) {
            text = text.replace(&format!("\"{value}\""), &format!("\"the container's {name}\""));
        }
        text = text.replace(id, "ID");
        let mut view: Value = serde_json::from_str(&text).expect("JSON");
        if let Some(environment) = view.get_mut("environment").and_then(Value::as_array_mut) {
            environment.retain(|variable| !variable.as_str().unwrap_or_default().starts_with("SPIN_HTTP_LISTEN_ADDR="));
        }
        if let Some(cgroups) = view.get_mut("cgroups").and_then(Value::as_array_mut)
            && cgroups.len() > 1
        {
            // With version 1, version 2's hierarchy has no controllers: runc makes a cgroup there too, and waits for the kernel.
            cgroups.retain(|line| !line.as_str().unwrap_or_default().starts_with("0::"));
        }
        if let Some(ignored) = view["status"]["SigIgn"].as_str() {
            // The two signals that C libraries use themselves; runc passes one on as ignored.
            let ignored = u64::from_str_radix(ignored, 16).expect("hexadecimal digits") & !(0b11 << 31);
            view["status"]["SigIgn"] = json!(format!("{ignored:x}"));
        }
        if let Some(mounts) = view.get_mut("mounts") {
            let lines = mounts.as_array().expect("a list").iter();
            let mut lines: Vec<Value> = lines.map(|line| mount_line(line.as_str().unwrap_or_default())).collect();
            // Cgroups are mounted in the order of their names or of the node's mounts.
            lines.sort_by_key(Value::to_string);
            *mounts = lines.into();
        }
        view
    }
}

/// The number that a process has in its own namespace of processes.
fn innermost_pid(pid: i32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).expect("it has numbers");
    numbers.split_whitespace().last().expect("one at least").to_owned()
}

fn namespaces_of(pid: i32) -> Vec<(String, String)> {
    let entries = fs::read_dir(format!("/proc/{pid}/ns")).into_iter().flatten().flatten();
    let link = |path: PathBuf| fs::read_link(path).map(|to| to.display().to_string()).unwrap_or_default();
    entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), link(entry.path()))).collect()
}

fn own_namespaces() -> Vec<(String, String)> {
    namespaces_of(i32::try_from(std::process::id()).expect("a number"))
}

/// A line of mountinfo without numbers, but with kinds of propagation; and without the directories of snapshots.
fn mount_line(line: &str) -> Value {
    let (mount, file_system) = line.split_once(" - ").unwrap_or((line, ""));
    let fields: Vec<&str> = mount.split(' ').collect();
    // Where the spec asks for a shared root it is one; under runc 1.1 it is private then too.
    let kinds = if fields[4] == "/" { &[][..] } else { &fields[6..] };
    let propagation = kinds.iter().map(|field| field.split(':').next().unwrap_or_default()).collect::<Vec<_>>();
    // Where runc makes a file system read-only, the shim makes the mount so.
    let kind = file_system.replace("sysfs sysfs ro", "sysfs sysfs rw");
    let options = kind.split(',').filter(|option| !option.contains("dir=")).collect::<Vec<_>>().join(",");
    let root = if fields[4] == "/out" || fields[3].contains("/tmp") { "a path of the node's" } else { fields[3] };
    json!({ "at": fields[4], "root": root, "options": fields[5], "propagation": propagation, "of": options })
}

/// The files of a container's cgroups that limit something.
fn limits(pid: i32) -> Value {
    let memberships = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let mut found = BTreeMap::new();
    for line in memberships.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let root = Path::new("/sys/fs/cgroup").join(controllers.trim_start_matches("name="));
        for entry in fs::read_dir(root.join(path.trim_start_matches('/'))).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_limit =
                ["limit", "max", "shares", "quota", "period", "weight", "cpus", "mems", "swap", "list", "low", "high", "min"];
            let counts = ["events", "current", "stat", "usage", "effective", "failcnt", "numa", "pressure", "peak"];
            let wanted = is_limit.iter().any(|part| name.contains(part)) && !counts.iter().any(|part| name.contains(part));
            if let (true, Ok(text)) = (wanted && !path.ends_with('/'), fs::read_to_string(entry.path())) {
                // runc 1.1 allows the device of tunnels, which later versions don't.
                let mut lines: Vec<_> = text.lines().filter(|line| *line != "c 10:200 rwm").map(str::to_owned).collect();
                lines.sort();
                found.insert(name, lines);
            }
        }
    }
    json!(found)
}

/// Fails with every difference that is not listed.
fn assert_alike(who: Who, ours: &Value, runcs: &Value) {
    let listed = |part: &str| DIFFERENCES.iter().any(|(listed, whose, _)| *listed == part && *whose == who);
    let (mut ours, mut runcs) = (ours.clone(), runcs.clone());
    for (part, _, _) in DIFFERENCES.iter().filter(|(_, whose, _)| *whose == who) {
        if let Some((part, field)) = part.split_once('.') {
            for view in [&mut ours, &mut runcs] {
                view[part][field] = Value::Null;
            }
        }
    }
    let mut differences = Vec::new();
    for (part, expected) in runcs.as_object().expect("parts") {
        // runc, a Go program, sometimes leaves the soft limit of open files of an exec raised to the hard one.
        if part == "limits" && who == Who::Exec && without_soft_limits(&ours[part]) == without_soft_limits(expected) {
            continue;
        }
        if !listed(part) && ours[part] != *expected && !(who == Who::App && part == "of_this_process") {
            differences.push(format!("{part}:\n{}", difference(&ours[part], expected)));
        }
    }
    assert!(differences.is_empty(), "{who:?}: {}", differences.join("\n"));
}

fn without_soft_limits(limits: &Value) -> Vec<Vec<&str>> {
    fn words(line: &str) -> Vec<&str> {
        // The soft limit of open files stands in columns 26 to 46.
        let line = if line.starts_with("Max open files") { line.get(46..).unwrap_or_default() } else { line };
        line.split_whitespace().collect()
    }
    limits.as_array().into_iter().flatten().filter_map(Value::as_str).map(words).collect()
}

/// Only what differs of two lists or maps.
fn difference(ours: &Value, runcs: &Value) -> String {
    let items = |value: &Value| -> Vec<String> {
        match value {
            Value::Array(list) => list.iter().map(Value::to_string).collect(),
            Value::Object(map) => map.iter().map(|(name, value)| format!("{name}: {value}")).collect(),
            other => vec![other.to_string()],
        }
    };
    let (ours, runcs) = (items(ours), items(runcs));
    let only = |these: &[String], others: &[String], whose: &str| {
        these.iter().filter(|item| !others.contains(item)).map(|item| format!("  {whose} {item}\n")).collect::<String>()
    };
    let text = only(&ours, &runcs, "shim") + &only(&runcs, &ours, "runc");
    if text.is_empty() { format!("  another order: {ours:?}\n") } else { text }
}

fn compare(edit: impl Fn(&mut Value)) {
    let containerd = Containerd::v2();
    let case = Case::new(&containerd);
    let native = |id: &str| {
        let files = tempfile::tempdir().expect("a directory");
        put_files(files.path());
        let archive = containerd.dir().join(format!("{id}.tar"));
        image::from_scratch(files.path(), &format!("test.local/{id}:1"), &archive);
        archive
    };
    let runcs = case.views(&runc(), "under-runc", &native("under-runc"), &edit);
    let ours = case.views(&program(), "under-shim", &native("under-shim"), &edit);
    assert_alike(Who::Init, &ours["init"], &runcs["init"]);
    assert_alike(Who::Exec, &ours["exec"], &runcs["exec"]);
    assert!(ours["limits"] == runcs["limits"], "{}", difference(&ours["limits"], &runcs["limits"]));

    let app = SpinApp::http("hello-p2", "");
    put_files(app.dir());
    let apps = case.views(&program(), "app", &app.plain("test.local/app:1"), &edit);
    assert_alike(Who::App, &apps["app"], &runcs["init"]);
}

#[test]
fn a_spec_as_ctr_writes_it() {
    compare(|_| {});
}

#[test]
fn a_restricted_pods_container() {
    compare(|spec| {
        let process = &mut spec["process"];
        process["user"] = json!({ "uid": 1000, "gid": 1000, "additionalGids": [1000, 2000], "umask": 0o27 });
        process["capabilities"] = json!({ "bounding": [], "effective": [], "permitted": [] });
        process["noNewPrivileges"] = json!(true);
        process["oomScoreAdj"] = json!(900);
        process["rlimits"] =
            json!([{ "type": "RLIMIT_CORE", "soft": 0, "hard": 0 }, { "type": "RLIMIT_NOFILE", "soft": 512, "hard": 1024 }]);
        process["cwd"] = json!("/data");
        spec["root"]["readonly"] = json!(true);
        spec["linux"]["seccomp"] = seccomp(&["mount", "chmod"]);
    });
}

/// A filter that refuses these system calls, and one that the kernel does not have.
fn seccomp(refused: &[&str]) -> Value {
    let names = [&["keyctl_not_there"][..], refused].concat();
    json!({
        "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{ "names": names, "action": "SCMP_ACT_ERRNO" }],
    })
}

#[test]
fn a_seccomp_filter_from_before_there_was_statx() {
    compare(|spec| spec["linux"]["seccomp"] = seccomp(&["statx"]));
}

#[test]
fn a_spec_that_leaves_out_what_can_be_left_out() {
    compare(|spec| {
        let process = spec["process"].as_object_mut().expect("a process");
        process.remove("capabilities");
        process.remove("rlimits");
        process["user"] = json!({ "uid": 1000, "gid": 1000 });
        process.insert("noNewPrivileges".to_owned(), json!(false));
        spec["linux"]["seccomp"] = seccomp(&["mount", "chmod"]);
    });
}

/// A directory that is a mount of its own, and shared, as all mounts are where systemd runs; unmounted with the value.
struct SharedMount(tempfile::TempDir);

impl SharedMount {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mount = |args: &[&str]| run(Command::new("mount").args(args).arg(directory.path()));
        mount(&["-t", "tmpfs", "tmpfs"]);
        mount(&["--make-shared"]);
        Self(directory)
    }
}

impl Drop for SharedMount {
    fn drop(&mut self) {
        run(Command::new("umount").arg(self.0.path()));
    }
}

#[test]
fn volumes_of_every_propagation() {
    let shared = SharedMount::new();
    let source = &shared.0;
    for propagation in ["rprivate", "rslave", "rshared"] {
        compare(|spec| {
            let mounts = spec["mounts"].as_array_mut().expect("there are mounts");
            let volume = |at: &str, options: &[&str]| json!({ "destination": at, "type": "bind", "source": source.path(), "options": options });
            mounts.push(volume("/volume", &["rbind", "rw", propagation]));
            mounts.push(volume("/other", &["rbind", "ro", "rprivate"]));
            mounts.push(volume("/volume-without", &["rbind", "ro"]));
            mounts.push(
                json!({ "destination": "/memory", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "size=65536k"] }),
            );
            // As CRI has it: only where a volume asks for it.
            if propagation != "rprivate" {
                spec["linux"]["rootfsPropagation"] = json!(propagation);
            }
        });
    }
}

#[test]
fn roots_of_every_propagation() {
    for propagation in ["shared", "slave", "private", "rshared", "rslave", "rprivate"] {
        compare(|spec| spec["linux"]["rootfsPropagation"] = json!(propagation));
    }
}

#[test]
fn a_container_with_a_name_settings_and_limits() {
    compare(|spec| {
        spec["hostname"] = json!("named");
        spec["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({ "type": "network" }));
        spec["linux"]["sysctl"] = json!({ "net.ipv4.ip_unprivileged_port_start": "0", "kernel.shmmax": "1000000" });
        spec["linux"]["maskedPaths"] = json!(["/proc/kcore", "/proc/keys", "/proc/acpi", "/link", "/not/there"]);
        spec["linux"]["readonlyPaths"] = json!(["/proc/bus", "/proc/sys", "/data", "/not/there"]);
        if !Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
            || fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").is_ok_and(|c| c.contains("memory"))
        {
            spec["linux"]["resources"]["memory"] = json!({ "limit": 64 << 20, "swap": 64 << 20 });
            spec["linux"]["resources"]["pids"] = json!({ "limit": 77 });
            spec["linux"]["resources"]["cpu"] = json!({ "shares": 512, "quota": 50000, "period": 100_000 });
        }
    });
}

#[test]
fn a_container_that_sees_cgroups_and_joins_a_namespace_of_processes() {
    compare(|spec| {
        let mounts = spec["mounts"].as_array_mut().expect("there are mounts");
        mounts.push(json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "relatime", "ro"] }));
        let namespaces = spec["linux"]["namespaces"].as_array_mut().expect("a list");
        namespaces.retain(|namespace| namespace["type"] != "pid");
    });
}
