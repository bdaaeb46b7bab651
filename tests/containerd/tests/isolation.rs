//! What leads from a container to the node: nothing that an app's process has.

use std::fs;
use std::path::PathBuf;

use containerd_tests::{inside, inside_program, unique, with_inside};
use harness::app::{cached_by_digest, digest};
use harness::{Containerd, SpinApp, Task};
use serde_json::Value;

/// An app with a component that no other test has, and with files for it.
fn app_with_files(containerd: &Containerd) -> (SpinApp, Vec<u8>) {
    let wasm = unique("probe-http", containerd.namespace());
    let app = SpinApp::http("probe-http", "files = [\"assets/*\"]").file("probe-http.wasm", &wasm);
    (with_inside(app.file("assets/page.html", b"hello")), wasm)
}

/// The node's files of a component's code, with their content.
fn code_on_the_node(wasm: &[u8]) -> Vec<(PathBuf, Vec<u8>)> {
    let files = cached_by_digest(&digest(wasm)).into_iter().filter(|path| path.extension().is_some_and(|end| end == "code"));
    files.map(|path| (path.clone(), fs::read(&path).expect("read"))).collect()
}

/// Looks, as root with containerd's default capabilities, at what the app's process has open.
fn assert_closed_off(containerd: &Containerd, task: &Task<'_>, id: &str, wasm: &[u8]) {
    assert_eq!(task.get("/?read=/assets/page.html").body, "hello");
    let before = code_on_the_node(wasm);
    assert_eq!(before.len(), 1);
    let descriptors = inside(containerd, id, &["descriptors", "1"]);
    let descriptors = descriptors.as_array().expect("a list");
    let count = |is: fn(&Value) -> bool| descriptors.iter().filter(|one| is(one)).count();
    assert!(count(|one| one["directory"] == true) > 0 && count(|one| one["directory"] == false) > 1, "{descriptors:#?}");
    for one in descriptors {
        assert_eq!(one["leads_out"], false, "{one:#}");
        let refused = |key: &str| ["EROFS", "EACCES"].contains(&one[key].as_str().unwrap_or_default());
        assert!(refused(if one["directory"] == true { "created_in_it" } else { "opened_for_writing" }), "{one:#}");
    }
    assert!(code_on_the_node(wasm) == before, "the node's cache was changed");
}

#[test]
fn an_app_of_a_plain_image_with_files_has_no_descriptor_that_leads_out_or_can_be_written() {
    let containerd = Containerd::v2();
    let (app, wasm) = app_with_files(&containerd);
    let task = containerd.serve("plain", &app);
    assert_closed_off(&containerd, &task, "plain", &wasm);
}

#[test]
fn an_app_of_a_plain_image_with_a_directory_has_no_descriptor_that_leads_out_or_can_be_written() {
    let containerd = Containerd::v2();
    let (app, wasm) = app_with_files(&containerd);
    let manifest = fs::read_to_string(app.dir().join("spin.toml")).expect("written");
    let directory = "[{ source = \"assets\", destination = \"/assets\" }]";
    let app = app.file("spin.toml", manifest.replace("[\"assets/*\"]", directory).as_bytes());
    let task = containerd.serve("directory", &app);
    assert_closed_off(&containerd, &task, "directory", &wasm);
}

#[test]
fn an_artifact_with_files_has_no_descriptor_that_leads_out_or_can_be_written() {
    let containerd = Containerd::v2();
    let (app, wasm) = app_with_files(&containerd);
    containerd.import(&app.artifact("test.local/artifact:1"));
    // An artifact holds no program: it comes by a volume.
    let program = format!("type=bind,src={},dst=/inside,options=rbind:ro", inside_program().display());
    let task = containerd.run("artifact", "test.local/artifact:1", &["--mount", &program]);
    assert_closed_off(&containerd, &task, "artifact", &wasm);
}

/// Runs the app of this image once; what it said where it did not answer.
fn runs(containerd: &Containerd, image: &str, id: &str) -> u16 {
    let mut task = containerd.run(id, image, &["--env", "SPIN_HTTP_LINGER=0"]);
    let status = task.get("/").status;
    task.kill("TERM");
    assert_eq!(task.wait(), Some(0));
    status
}

#[test]
fn damaged_code_is_compiled_again_whatever_the_damage() {
    let containerd = Containerd::v2();
    let wasm = unique("hello-p2", containerd.namespace());
    let app = SpinApp::http("hello-p2", "").file("hello-p2.wasm", &wasm);
    containerd.import(&app.plain("test.local/damaged:1"));
    assert_eq!(runs(&containerd, "test.local/damaged:1", "before"), 200);
    let good = code_on_the_node(&wasm);
    let [(path, code)] = &good[..] else { panic!("one file, not {}", good.len()) };
    let flip = |at: usize| [&code[..at], &[code[at] ^ 0xff], &code[at + 1..]].concat();
    let half = code.len() / 2;
    let damages = [flip(100), flip(half), flip(code.len() - 1), code[..half].to_vec(), code[..1].to_vec(), Vec::new()];
    for (number, damaged) in damages.iter().enumerate() {
        fs::remove_file(path).and_then(|()| fs::write(path, damaged)).expect("written");
        assert_eq!(runs(&containerd, "test.local/damaged:1", &format!("after-{number}")), 200, "damage {number}");
        assert!(code_on_the_node(&wasm) == good, "damage {number}: the file is not as before");
    }
    let log = containerd.log();
    assert!(log.contains("is not used but made again"), "{log}");
}
