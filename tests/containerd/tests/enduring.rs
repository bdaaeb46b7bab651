//! Clients that leave and log readers that stand still don't stop an app.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::thread::scope;

use harness::process::pids;
use harness::wait::holds;
use harness::{Containerd, Redis, SpinApp, Task, wait_for};

/// A process's open files, and bytes of its anonymous memory.
fn holdings(pid: i32) -> (usize, u64) {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let anonymous =
        status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    (files, anonymous.expect("the kernel says it") * 1024)
}

/// Connections that have sent a request each.
fn clients(task: &Task<'_>, count: usize, path: &str) -> Vec<TcpStream> {
    let address = task.url("").replace("http://", "");
    let client = |_| {
        let mut stream = TcpStream::connect(&address).expect("the app accepts");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: t\r\n\r\n").expect("the app reads");
        stream
    };
    (0..count).map(client).collect()
}

#[test]
fn requests_whose_clients_left_leave_nothing_behind() {
    let containerd = Containerd::v2();
    let task = containerd.serve("left", &SpinApp::http("probe-http", ""));
    task.get("/?count");
    let (files, memory) = holdings(task.pid());
    for _ in 0..26 {
        let waiting = clients(&task, 100, "/?sleep=10000000");
        assert_eq!(task.get("/?count").status, 200);
        drop(waiting);
    }
    assert_eq!(task.get("/?count").status, 200);
    wait_for("files and memory to be given back", 10, || match holdings(task.pid()) {
        // Used slots stay warm, with 2 MiB each at most.
        (left, bytes) if left <= files + 5 && bytes < memory + (32 << 20) => Ok(()),
        left => Err(format!("{left:?}, before that {:?}", (files, memory))),
    });
}

/// Whether the process exists.
fn runs(pid: i32) -> bool {
    pids().contains(&pid)
}

#[test]
fn a_log_reader_that_stands_still_stops_only_guests_that_write() {
    let containerd = Containerd::v2();
    let task = containerd.serve("unread", &SpinApp::http("probe-http", ""));
    task.get("/?count");
    let (pid, (files, memory)) = (task.pid(), holdings(task.pid()));
    let still = task.stop_reading();
    // Each writes more than the pipe and the app's queue take.
    let _writing = clients(&task, 4, "/?print=20000");
    scope(|scope| {
        for _ in 0..4 {
            // Each exit is a line of the host's own, and all of them are more than its queue takes.
            scope.spawn(|| (0..2000).for_each(|_| assert_eq!(task.get("/?exit").status, 500)));
        }
    });
    let (now, bytes) = holdings(pid);
    assert!(now < files + 50 && bytes < memory + (32 << 20), "{files} files and {memory} bytes became {now} and {bytes}");
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").count();
    assert!(threads < 20, "{threads} threads");
    drop(still);
    task.wait_to_say(&["bytes of output were dropped", "line 19999"]);
}

#[test]
fn an_app_ends_on_sigterm_while_nobody_reads_its_output() {
    let containerd = Containerd::v2();
    containerd.import(&SpinApp::http("probe-http", "").plain("test.local/unread:1"));
    let task = containerd.run("unread", "test.local/unread:1", &["--env", "SPIN_SHUTDOWN_GRACE=2"]);
    task.get("/?count");
    let pid = task.pid();
    let _still = task.stop_reading();
    // Two of the clients leave, so their instances end with output that is not written.
    let mut writing = clients(&task, 4, "/?print=20000");
    assert_eq!(task.get("/?count").status, 200);
    writing.truncate(2);
    drop(writing);
    task.kill("TERM");
    wait_for("the app to end while nobody reads", 20, || holds(!runs(pid)));
}

#[test]
fn a_subscriber_ends_on_sigterm_while_nobody_reads_its_output() {
    let (redis, containerd) = (Redis::start(), Containerd::v2());
    let address = redis.address();
    let app = SpinApp::new(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"sink\"\n[application.trigger.redis]\naddress = \"{address}\"\n\
         [[trigger.redis]]\nchannel = \"in\"\ncomponent = \"sink\"\n\
         [component.sink]\nsource = \"redis-sink.wasm\"\nallowed_outbound_hosts = [\"{address}\"]\n\
         [component.sink.variables]\nlist = \"out\"\nredis_address = \"{address}\"\n"
    ));
    let task = containerd.serve("unheard", &app.guest("redis-sink"));
    redis.wait_for_subscribers("in", 1);
    let pid = task.pid();
    let _still = task.stop_reading();
    // Each failure is a line; 2000 of them are more than a pipe takes.
    let many = "for _ = 1, 2000 do redis.call('publish', 'in', 'fail') end";
    redis.cli(&["eval", many, "0"]);
    task.kill("TERM");
    wait_for("the app to end while nobody reads", 45, || holds(!runs(pid)));
}
