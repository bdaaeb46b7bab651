//! Untrusted content is compiled and unpacked by processes without rights, within the bounds of the node's cache.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use containerd_tests::unique;
use harness::{Containerd, SpinApp};

/// What the kernel says about the first process with this argument that has become another user, in the time that it exists.
fn seen(argument: &str, run: impl FnOnce() + Send) -> BTreeMap<String, String> {
    std::thread::scope(|scope| {
        let runs = scope.spawn(run);
        let deadline = Instant::now() + Duration::from_secs(120);
        let mut found = None;
        while found.is_none() && !runs.is_finished() && Instant::now() < deadline {
            found = processes(argument).into_iter().find(|about| about["Seccomp"] == "2");
        }
        runs.join().expect("it ran");
        found.unwrap_or_else(|| panic!("no process with {argument:?} was seen behind its filter"))
    })
}

fn processes(argument: &str) -> Vec<BTreeMap<String, String>> {
    let numbers = fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok());
    let has_argument = |dir: &std::path::Path| {
        fs::read_to_string(dir.join("cmdline")).is_ok_and(|line| line.split('\0').any(|one| one == argument))
    };
    numbers.map(|entry| entry.path()).filter(|dir| has_argument(dir)).filter_map(|dir| about(&dir)).collect()
}

/// Its status, and besides that `cgroup`, `limits` and `oom_score_adj`.
fn about(dir: &std::path::Path) -> Option<BTreeMap<String, String>> {
    let read = |name: &str| fs::read_to_string(dir.join(name)).ok();
    let status = read("status")?;
    let fields =
        status.lines().filter_map(|line| line.split_once(':')).map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    let files = ["cgroup", "limits", "oom_score_adj"].map(|name| Some((name.to_owned(), read(name)?)));
    fields.map(Some).chain(files).collect()
}

fn assert_confined(about: &BTreeMap<String, String>) {
    for (field, value) in
        [("Uid", "65534\t65534\t65534\t65534"), ("Gid", "65534\t65534\t65534\t65534"), ("Groups", ""), ("NoNewPrivs", "1")]
    {
        assert_eq!(about[field], value, "{field}");
    }
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(about[set].trim_matches('0'), "", "{set}");
    }
    assert_eq!(about["oom_score_adj"].trim(), "1000");
    assert!(about["cgroup"].lines().any(|line| line.ends_with(":/containerd-shim-spin")), "{}", about["cgroup"]);
    let limited = |name: &str| {
        let line = about["limits"].lines().find(|line| line.starts_with(name)).expect("a limit");
        !line.contains("unlimited")
    };
    for limit in ["Max cpu time", "Max file size", "Max data size", "Max core file size"] {
        assert!(limited(limit), "{limit}");
    }
}

#[test]
fn a_component_is_compiled_by_a_process_without_rights() {
    let containerd = Containerd::v2();
    let wasm = unique("probe-http", containerd.namespace());
    let app = SpinApp::http("probe-http", "").file("probe-http.wasm", &wasm);
    let about = seen("--precompile", || assert_eq!(containerd.serve("compiled", &app).get("/").status, 200));
    assert_confined(&about);
}

/// An app with more files than an artifact may have layers, so that they come in an archive. Their content is new on this node.
fn app_with_an_archive(containerd: &Containerd) -> SpinApp {
    let files = "files = [{ source = \"assets\", destination = \"/assets\" }]";
    let app = SpinApp::http("probe-http", files);
    let content = |number: u32| {
        let seed = u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let line = format!("{} {number} {seed:x}\n", containerd.namespace());
        line.repeat(100_000 / line.len())
    };
    (0..520).fold(app, |app, number| app.file(&format!("assets/{number}.txt"), content(number).as_bytes()))
}

#[test]
fn an_archive_is_unpacked_by_a_process_without_rights() {
    let containerd = Containerd::v2();
    containerd.import(&app_with_an_archive(&containerd).artifact("test.local/archive:1"));
    let about = seen("--unpack", || {
        let task = containerd.run("unpacked", "test.local/archive:1", &[]);
        assert!(task.get("/?read=/assets/519.txt").body.starts_with(containerd.namespace()));
    });
    assert_confined(&about);
}

/// Has this thread, and containerd that it starts, see a small file system in the place of the node's cache.
fn with_a_full_cache(options: &str) {
    let run = |program: &str, args: &[&str]| {
        let status = std::process::Command::new(program).args(args).status().expect("started");
        assert!(status.success(), "{program} {args:?}");
    };
    let flags = rustix::thread::UnshareFlags::NEWNS | rustix::thread::UnshareFlags::FS;
    // SAFETY: nothing that this thread shares with others depends on its mounts.
    unsafe { rustix::thread::unshare_unsafe(flags) }.expect("a mount namespace");
    run("mount", &["--make-rprivate", "/"]);
    fs::create_dir_all("/var/cache/containerd-shim-spin").expect("made");
    run("mount", &["-t", "tmpfs", "-o", options, "cache", "/var/cache/containerd-shim-spin"]);
}

#[test]
fn an_app_starts_where_its_code_can_not_be_kept() {
    for options in ["size=64k,mode=700", "ro,mode=700"] {
        with_a_full_cache(options);
        let containerd = Containerd::v2();
        let task = containerd.serve("full", &SpinApp::http("hello-p2", ""));
        assert_eq!(task.get("/").status, 200, "{options}");
        let log = containerd.log();
        assert!(log.contains("precompiled code") && log.contains("for the next start"), "{options}: {log}");
    }
}
