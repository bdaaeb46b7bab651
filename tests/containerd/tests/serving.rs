//! A Spin app under a real containerd: it answers, it drains, it ends.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use containerd_tests::unique;
use harness::app::{cached, digest};
use harness::process::switches;
use harness::{Containerd, SpinApp, Task};

#[test]
fn a_plain_image_answers_whatever_its_command_says() {
    let containerd = Containerd::v2();
    let task = containerd.serve("hello", &SpinApp::http("hello-p2", ""));
    let answer = task.get("/");
    assert_eq!((answer.status, answer.body.trim()), (200, "hello"));
}

#[test]
fn the_log_names_the_address_and_the_routes() {
    let containerd = Containerd::v2();
    let task = containerd.serve("hello", &SpinApp::http("hello-p2", ""));
    let base = task.url("");
    task.wait_to_say(&[&format!("Serving {base}\nAvailable Routes:\n  main: {base} (wildcard)\n")]);
}

#[test]
fn the_environment_sets_the_limits_of_connections() {
    let containerd = Containerd::v2();
    containerd.import(&SpinApp::http("hello-p2", "").plain("test.local/limits:1"));
    let limits = ["SPIN_HTTP1_MAX_BUF_SIZE=8192", "SPIN_HTTP2_MAX_STREAMS=7", "SPIN_HTTP2_WINDOW_SIZE=70000"];
    let flags = limits.map(|limit| ["--env", limit]).concat();
    let task = containerd.run("limits", "test.local/limits:1", &flags);
    assert_eq!(task.get("/").status, 200);
    let long = format!("GET / HTTP/1.1\r\nhost: a\r\na: {}\r\n\r\n", "b".repeat(9000));
    assert!(exchange(&task, long.as_bytes(), 12).starts_with(b"HTTP/1.1 431"));
    // The SETTINGS frame of the server: MAX_CONCURRENT_STREAMS is number 3, INITIAL_WINDOW_SIZE number 4.
    let settings = exchange(&task, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", 40);
    let holds = |number: u8, value: u32| {
        let setting = [&[0, number][..], &value.to_be_bytes()].concat();
        settings[9..].chunks_exact(6).any(|other| other == setting)
    };
    assert!(holds(3, 7) && holds(4, 70_000), "{settings:?}");
}

/// The first bytes that the app answers to these.
fn exchange(task: &Task, sent: &[u8], length: usize) -> Vec<u8> {
    let mut stream = TcpStream::connect(task.url("").trim_start_matches("http://")).expect("the app listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    stream.write_all(sent).expect("the app reads");
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).expect("the app answers");
    answer
}

/// The files of the node's cache that hold code of this guest, by what they are on disk.
fn code_of(guest: &str) -> Vec<(u64, SystemTime)> {
    let code = cached(guest).into_iter().filter(|file| file.extension().is_some_and(|end| end == "code"));
    code.map(|file| file.metadata().map(|code| (code.ino(), code.modified().expect("files have times"))).expect("it stays"))
        .collect()
}

#[test]
fn a_component_in_python_answers_and_another_image_with_it_compiles_nothing() {
    let containerd = Containerd::v2();
    let first = containerd.serve("python", &SpinApp::http("hello-python", ""));
    assert_eq!(first.get("/").body, "hello");
    let compiled = code_of("hello-python");
    // More than one where another version of the shim has run on this node.
    assert!(!compiled.is_empty(), "compiled into a file");
    containerd.import(&SpinApp::http("hello-python", "description = \"another\"").artifact("test.local/other:1"));
    assert_eq!(containerd.run("other", "test.local/other:1", &[]).get("/").body, "hello");
    assert_eq!(code_of("hello-python"), compiled);
}

/// The digests of components of plain images that the node has taken note of, those alone that are of these bytes.
fn notes_of(wasm: &[u8]) -> usize {
    let digest = format!("sha256:{}", digest(wasm));
    let notes = fs::read_dir("/var/cache/containerd-shim-spin/digests").expect("there are digests").flatten();
    notes.filter(|note| fs::read_to_string(note.path()).is_ok_and(|text| text == digest)).count()
}

#[test]
fn a_component_of_a_plain_image_is_hashed_once() {
    let containerd = Containerd::v2();
    let wasm = unique("hello-p2", containerd.namespace());
    let mut first = containerd.serve("first", &SpinApp::http("hello-p2", "").file("hello-p2.wasm", &wasm));
    assert_eq!((first.get("/").status, notes_of(&wasm)), (200, 1));
    first.kill("TERM");
    assert_eq!(first.wait(), Some(0));
    let again = containerd.run("again", "test.local/first:1", &[]);
    assert_eq!((again.get("/").status, notes_of(&wasm)), (200, 1));
}

#[test]
fn a_spin_artifact_answers() {
    let containerd = Containerd::v2();
    containerd.import(&SpinApp::http("hello-p3", "").artifact("test.local/artifact:1"));
    let task = containerd.run("artifact", "test.local/artifact:1", &[]);
    assert_eq!(task.get("/").status, 200);
}

/// The small blobs that the node has taken note of, those alone in which this is said.
fn blobs_that_say(word: &str) -> Vec<PathBuf> {
    let notes = fs::read_dir("/var/cache/containerd-shim-spin/blobs").expect("there are blobs").flatten().map(|note| note.path());
    notes.filter(|note| fs::read_to_string(note).is_ok_and(|text| text.contains(word))).collect()
}

#[test]
fn containerd_is_asked_for_a_small_blob_once_and_again_where_the_note_of_it_is_spoiled() {
    let containerd = Containerd::v2();
    let word = containerd.namespace();
    containerd.import(&SpinApp::http("hello-p2", &format!("description = \"{word}\"")).artifact("test.local/noted:1"));
    let run = |id: &str| containerd.run(id, "test.local/noted:1", &[]).get("/").status;
    assert_eq!(run("first"), 200);
    let noted = blobs_that_say(word);
    let [locked_app] = &noted[..] else { panic!("one locked app, not {noted:?}") };
    fs::write(locked_app, "spoiled").expect("written");
    assert_eq!((run("again"), blobs_that_say(word)), (200, noted.clone()));
    let digest = locked_app.file_name().and_then(OsStr::to_str).expect("it has a name");
    containerd.ctr_ok(&["content", "rm", &format!("sha256:{digest}")]);
    assert_eq!(run("without-containerds"), 200);
}

#[test]
fn an_artifact_carries_its_static_files_inlined_and_layered() {
    let app = SpinApp::http("probe-http", "files = [{ source = \"assets\", destination = \"/\" }]")
        .file("assets/short.txt", b"short")
        .file("assets/deep/long.txt", &[b'x'; 4096]);
    let containerd = Containerd::v2();
    containerd.import(&app.artifact("test.local/files:1"));
    let task = containerd.run("files", "test.local/files:1", &[]);
    assert!(task.get("/?read=/short.txt").body.contains("short"));
    assert!(task.get("/?read=/deep/long.txt").body.contains(&"x".repeat(4096)));
}

#[test]
fn a_plain_image_mounts_globs_and_leaves_out_what_is_excluded() {
    let extra = "files = [\"site/**/*\"]\nexclude_files = [\"site/secret.txt\"]";
    let app = SpinApp::http("probe-http", extra).file("site/a/page.txt", b"page").file("site/secret.txt", b"secret");
    let containerd = Containerd::v2();
    let task = containerd.serve("globs", &app);
    assert!(task.get("/?read=/site/a/page.txt").body.contains("page"));
    assert!(!task.get("/?read=/site/secret.txt").body.contains("secret"));
}

#[test]
fn a_read_only_root_file_system_does() {
    let containerd = Containerd::v2();
    containerd.import(&SpinApp::http("kv", "key_value_stores = [\"default\"]").plain("test.local/ro:1"));
    let task = containerd.run("ro", "test.local/ro:1", &["--read-only"]);
    assert!(task.get("/").status < 500);
}

#[test]
fn key_value_data_is_kept_in_a_volume_at_the_state_directory() {
    let containerd = Containerd::v2();
    containerd.import(&SpinApp::http("kv", "key_value_stores = [\"default\"]").plain("test.local/kept:1"));
    let volume = tempfile::tempdir().expect("a temporary directory");
    let mount = format!("type=bind,src={},dst=/.spin,options=rbind:rw", volume.path().display());
    let flags = ["--read-only", "--mount", mount.as_str()];
    let mut first = containerd.run("first", "test.local/kept:1", &flags);
    first.get("/");
    assert_eq!(harness::http::put(&first.url("/fruit"), "apple").map(|answer| answer.status), Ok(204));
    first.kill("TERM");
    assert_eq!(first.wait(), Some(0));
    assert_eq!(containerd.run("second", "test.local/kept:1", &flags).get("/fruit").body, "apple");
}

#[test]
fn the_port_answers_as_soon_as_start_has() {
    let containerd = Containerd::v2();
    containerd.import(&SpinApp::http("hello-p2", "").plain("test.local/bound:1"));
    for round in 0..5 {
        let url = containerd.run_detached(&format!("bound-{round}"), "test.local/bound:1");
        assert_eq!(harness::http::get(&url).map(|answer| answer.status), Ok(200));
    }
}

#[test]
fn a_term_lets_the_request_in_flight_finish_and_exits_0() {
    let containerd = Containerd::v2();
    let mut task = containerd.serve("drain", &SpinApp::http("probe-http", ""));
    task.get("/");
    let url = task.url("/?sleep=1500");
    let slow = std::thread::spawn(move || harness::http::get(&url));
    // The request is in the guest.
    task.wait_to_say(&["sleeping"]);
    task.kill("TERM");
    assert_eq!(task.wait(), Some(0));
    assert_eq!(slow.join().expect("the client ends").map(|answer| answer.status), Ok(200));
}

#[test]
fn stdout_and_stderr_of_a_component_are_the_containers() {
    let containerd = Containerd::v2();
    let task = containerd.serve("says", &SpinApp::http("probe-http", ""));
    task.get("/?stdout=to-the-out");
    task.get("/?stderr=to-the-err");
    task.wait_to_say(&["to-the-out", "to-the-err"]);
}

#[test]
fn a_trap_is_a_500_with_the_trap_on_stderr_and_the_next_request_is_fine() {
    let containerd = Containerd::v2();
    let task = containerd.serve("traps", &SpinApp::http("probe-http", ""));
    assert_eq!(task.get("/?trap").status, 500);
    assert_eq!(task.get("/").status, 200);
    task.wait_to_say(&["unreachable"]);
}

#[test]
fn a_warning_of_the_runtime_is_a_line_on_stderr() {
    let containerd = Containerd::v2();
    let app = SpinApp::http("hello-p2", "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"main\"");
    let task = containerd.serve("warned", &app);
    assert_eq!(task.get("/").status, 200);
    task.wait_to_say(&["route '/...' is given twice"]);
}

/// How often those threads of a process that serve HTTP have waited.
fn waits(pid: i32) -> u64 {
    let threads = switches(pid).expect("it runs");
    threads.iter().filter(|(name, _)| name.starts_with("http-")).map(|(_, count)| count).sum()
}

#[test]
fn a_worker_stays_awake_between_requests_that_come_soon_unless_told_not_to() {
    let containerd = Containerd::v2();
    containerd.import(&SpinApp::http("hello-p2", "").plain("test.local/awake:1"));
    // On a busy machine a request may come before a worker can sleep, or others may take its turn: so some of several rounds counts.
    let sleeps_in_some_round = |id: &str, microseconds: u32, expected: std::ops::RangeInclusive<u64>| {
        let busy_poll = format!("SPIN_HTTP_BUSY_POLL_US={microseconds}");
        let task = containerd.run(id, "test.local/awake:1", &["--env", &busy_poll, "--env", "SPIN_WORKERS=2"]);
        let ask = |times: u64| (0..times).for_each(|_| assert_eq!(task.get("/").status, 200));
        ask(3);
        (0..20).any(|_| {
            let before = waits(task.pid());
            ask(100);
            expected.contains(&(waits(task.pid()) - before))
        })
    };
    assert!(sleeps_in_some_round("asleep", 0, 100..=u64::MAX));
    assert!(sleeps_in_some_round("awake", 1_000_000, 0..=20));
}

#[test]
fn thirty_replicas_started_at_once_all_answer() {
    let containerd = Containerd::v2();
    containerd.import(&SpinApp::http("hello-p3", "").artifact("test.local/thirty:1"));
    let start = &|n: i32| containerd.run_detached(&format!("replica-{n}"), "test.local/thirty:1");
    let urls: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..30).map(|n| scope.spawn(move || start(n))).collect();
        starts.into_iter().map(|start| start.join().expect("ctr run -d succeeds")).collect()
    });
    let answers: Vec<_> = urls.iter().map(|url| harness::http::get(url).map(|answer| answer.status)).collect();
    assert_eq!(answers, vec![Ok(200); 30]);
}

#[test]
fn an_app_finishes_and_ends_on_each_signal_that_images_are_stopped_by() {
    let containerd = Containerd::v2();
    containerd.import(&SpinApp::http("hello-p2", "").plain("test.local/ends:1"));
    for signal in ["TERM", "INT", "QUIT", "HUP"] {
        let id = format!("ends-on-{}", signal.to_lowercase());
        let mut task = containerd.run(&id, "test.local/ends:1", &["--env", "SPIN_HTTP_LINGER=0"]);
        assert_eq!(task.get("/").status, 200);
        task.kill(signal);
        assert_eq!(task.wait(), Some(0), "{signal}");
    }
}
