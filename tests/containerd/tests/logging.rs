//! Logging programs (`binary://`), as nerdctl runs containers with.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use containerd_tests::container;
use harness::process::{command_line, pids, said};
use harness::shim::{Bundle, program};
use harness::wait::holds;
use harness::{Containerd, SpinApp, image, wait_for};
use serde_json::json;

/// Notes who it is, gets ready, and writes what it reads into files of the directory that is its second argument.
const PROGRAM: &str = r#"#!/bin/sh
echo "$1 $CONTAINER_NAMESPACE $CONTAINER_ID" >"$2/identity"
exec 5>&-
/bin/busybox cat <&3 >"$2/stdout" &
/bin/busybox cat <&4 >"$2/stderr"
wait
"#;

/// A logging program of this text, and what it writes.
struct Program(tempfile::TempDir);

impl Program {
    fn new(text: &str) -> Self {
        let program = Self(tempfile::tempdir().expect("a directory"));
        fs::write(program.path(), text).expect("written");
        fs::set_permissions(program.path(), Permissions::from_mode(0o755)).expect("set");
        program
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("a logger")
    }

    fn uri(&self) -> String {
        let directory = self.0.path().display();
        format!("binary://{directory}/a%20logger?dir={directory}")
    }

    fn wrote(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap_or_default()
    }

    fn runs(&self) -> bool {
        let path = self.path().display().to_string();
        pids().into_iter().any(|pid| command_line(pid).contains(&path))
    }
}

/// Runs an image that was imported, with nobody attached, and its output to the program.
fn run(containerd: &Containerd, id: &str, image: &str, uri: &str, command: &[&str]) -> std::process::Output {
    let run = ["run", "-d", "--net-host", "--runtime", "io.containerd.spin.v2", "--log-uri", uri];
    containerd.ctr(&[&run[..], &["--env", "SPIN_HTTP_LISTEN_ADDR=127.0.0.1:0", image, id], command].concat())
}

/// Imports an image of busybox; its name.
fn busybox(containerd: &Containerd) -> &'static str {
    containerd.import(&busybox_archive(containerd, "test.local/busybox:1"));
    "test.local/busybox:1"
}

fn busybox_archive(containerd: &Containerd, name: &str) -> PathBuf {
    let files = tempfile::tempdir().expect("a directory");
    fs::copy("/bin/busybox", files.path().join("busybox")).expect("busybox-static is installed");
    let archive = containerd.dir().join("busybox.tar");
    image::from_scratch(files.path(), name, &archive);
    archive
}

/// A container of busybox that runs this script, for a shim of the test's own.
fn running_script<'a>(containerd: &'a Containerd, id: &str, script: &str, terminal: bool) -> Bundle<'a> {
    container(containerd, id, &busybox_archive(containerd, &format!("test.local/{id}:1")), "/busybox");
    Bundle::new(containerd, id).edited(|spec| {
        spec["process"]["args"] = json!(["/busybox", "sh", "-c", script]);
        spec["process"]["terminal"] = terminal.into();
    })
}

/// Deletes a task once it has ended.
fn delete(containerd: &Containerd, id: &str) {
    wait_for("the task's end", 30, || holds(containerd.ctr(&["tasks", "rm", id]).status.success()));
}

#[test]
fn logging_program_has_all_that_a_program_wrote_when_its_task_is_deleted() {
    let (containerd, program) = (Containerd::v2(), Program::new(PROGRAM));
    let image = busybox(&containerd);
    let script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i + 1)); done; echo sorry >&2";
    let output = run(&containerd, "native", image, &program.uri(), &["/busybox", "sh", "-c", script]);
    assert!(output.status.success(), "{}", said(&output));
    delete(&containerd, "native");
    assert_eq!(program.wrote("identity"), format!("dir {} native\n", containerd.namespace()));
    assert_eq!(program.wrote("stdout").lines().last(), Some("line 19999"));
    assert_eq!(program.wrote("stderr"), "sorry\n");
    assert!(!program.runs());
}

#[test]
fn logging_program_has_what_a_spin_app_wrote() {
    let (containerd, program) = (Containerd::v2(), Program::new(PROGRAM));
    containerd.import(&SpinApp::http("hello-p2", "").plain("test.local/logged:1"));
    let output = run(&containerd, "logged", "test.local/logged:1", &program.uri(), &["/"]);
    assert!(output.status.success(), "{}", said(&output));
    containerd.ctr_ok(&["tasks", "kill", "-s", "TERM", "logged"]);
    delete(&containerd, "logged");
    let wrote = program.wrote("stdout") + &program.wrote("stderr");
    assert!(wrote.contains("Serving http://127.0.0.1:"), "{wrote}");
    assert!(!program.runs());
}

#[test]
fn logging_program_has_all_that_was_written_to_a_terminal() {
    let (containerd, logger) = (Containerd::v2(), Program::new(PROGRAM));
    let script = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i + 1)); done; test -t 1 && echo a terminal >&2";
    let bundle = running_script(&containerd, "terminal", script, true);
    let shim = bundle.start(&program());
    let created = shim.try_create_with(|request| (request.terminal, request.stdout) = (true, logger.uri()));
    created.expect("created");
    shim.run().expect("started");
    assert_eq!(shim.wait(), 0);
    shim.delete().expect("deleted");
    assert_eq!(logger.wrote("identity"), format!("dir {} terminal\n", containerd.namespace()));
    assert!(logger.wrote("stdout").starts_with("line 0\r\nline 1\r\n"), "{}", logger.wrote("stdout"));
    assert!(logger.wrote("stdout").ends_with("line 1999\r\na terminal\r\n"), "{}", logger.wrote("stdout"));
    assert_eq!(logger.wrote("stderr"), "");
    assert!(!logger.runs());
}

#[test]
fn logging_program_has_what_a_program_run_by_exec_wrote_with_and_without_a_terminal() {
    let containerd = Containerd::v2();
    let bundle = running_script(&containerd, "host", "sleep 1000000", false);
    let shim = bundle.run(&program());
    for (id, terminal, stdout, stderr) in [("plain", false, "out\n", "err\n"), ("tty", true, "out\r\nerr\r\n", "")] {
        let logger = Program::new(PROGRAM);
        let noted = shim.exec_with(id, &["/busybox", "sh", "-c", "echo out; echo err >&2"], |request| {
            (request.terminal, request.stdout) = (terminal, logger.uri());
        });
        noted.expect("noted");
        shim.start_exec(id).expect("started");
        assert_eq!((shim.wait_exec(id), shim.delete_exec(id)), (0, Ok(0)));
        assert_eq!(logger.wrote("identity"), format!("dir {} {id}\n", containerd.namespace()));
        assert_eq!((logger.wrote("stdout").as_str(), logger.wrote("stderr").as_str()), (stdout, stderr), "{id}");
        assert!(!logger.runs(), "{id}");
    }
}

#[test]
fn logging_program_that_ends_early_does_not_hold_up_what_it_was_to_read() {
    let (containerd, program) = (Containerd::v2(), Program::new("#!/bin/sh\nexit 0\n"));
    let image = busybox(&containerd);
    let script = "trap '' PIPE; i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i + 1)); done; exit 0";
    let output = run(&containerd, "unheard", image, &program.uri(), &["/busybox", "sh", "-c", script]);
    assert!(output.status.success(), "{}", said(&output));
    delete(&containerd, "unheard");
}

#[test]
fn logging_program_that_cannot_be_run_fails_the_creation_with_its_name() {
    let containerd = Containerd::v2();
    let image = busybox(&containerd);
    for uri in ["binary:///is/not/there", "binary-v2:///bin/true"] {
        let said = said(&run(&containerd, "unlogged", image, uri, &["/busybox", "true"]));
        let path = Path::new(uri.split_once("://").expect("a scheme").1).display().to_string();
        assert!(said.contains(&format!("the logging program {path}")), "{said}");
        containerd.ctr(&["containers", "rm", "unlogged"]);
    }
}
