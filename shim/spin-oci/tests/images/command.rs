//! The command, as people and scripts call it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{app, directory};

fn spin_oci(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_spin-oci")).args(arguments).output().unwrap()
}

fn stdout(arguments: &[&str]) -> String {
    let output = spin_oci(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What is said on stderr, and the exit code.
fn fails(arguments: &[&str]) -> (String, Option<i32>) {
    let output = spin_oci(arguments);
    (String::from_utf8(output.stderr).unwrap(), output.status.code())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn pack_prints_the_digest_and_inspect_shows_the_image() {
    let (app, out) = (app("files = [\"a\"]", &[("a", b"1")]), directory(&[]));
    let file = out.path().join("image.tar");
    let digest = stdout(&["pack", text(app.path()), "--out", text(&file)]);
    assert!(digest.starts_with("sha256:") && digest.len() == 72, "{digest}");
    let shown = stdout(&["inspect", text(&file)]);
    for part in ["app 1.0.0", "Spin artifact", digest.trim(), "http -> main, route \"/...\"", "main: ", "1 files"] {
        assert!(shown.contains(part), "{part:?} is not in {shown}");
    }
}

#[test]
fn inspect_gives_json_for_programs() {
    let shown: Value = serde_json::from_str(&stdout(&["inspect", "--json", text(app("", &[]).path())])).unwrap();
    assert_eq!((&shown["kind"], &shown["app"]["metadata"]["name"]), (&"directory, not an image yet".into(), &"app".into()));
}

#[test]
fn lock_prints_the_locked_app() {
    let app = app("files = [\"a\"]", &[("a", b"1")]);
    let locked: Value = serde_json::from_str(&stdout(&["lock", text(app.path())])).unwrap();
    assert_eq!(locked["components"][0]["files"][0]["inline"], "MQ==");
}

#[test]
fn text_of_an_image_begins_no_line_and_gives_the_terminal_no_order() {
    let app = app("", &[]);
    let manifest = fs::read_to_string(app.path().join("spin.toml")).unwrap();
    let described = manifest.replacen("name = ", "description = \"one\\ntwo\\u001b[2J\"\nname = ", 1);
    fs::write(app.path().join("spin.toml"), described).unwrap();
    let shown = stdout(&["inspect", text(app.path())]);
    assert!(shown.contains("  one\\ntwo\\u{1b}[2J\n"), "{shown}");
    let wrong = directory(&[("spin.toml", format!("\"a\\nb\\u001b[2J\" = 1\n{manifest}").as_bytes())]);
    let (said, code) = fails(&["lock", text(wrong.path())]);
    assert!(said.contains("b\\u{1b}[2J") && said.lines().count() == 1, "{said}");
    assert_eq!(code, Some(64));
}

#[test]
fn what_is_wrong_is_one_sentence_and_an_exit_code() {
    let missing = directory(&[("spin.toml", b"spin_manifest_version = 2\n[applicatoin]\n")]);
    let (said, code) = fails(&["lock", text(missing.path())]);
    assert!(said.starts_with("spin-oci: spin.toml, line 2") && said.lines().count() == 1, "{said}");
    assert_eq!(code, Some(64));
    assert_eq!(fails(&["lock", text(directory(&[]).path())]).1, Some(64));
    assert_eq!(fails(&["inspect", text(&app("", &[]).path().join("main.wasm"))]).1, Some(68));
    assert_eq!(fails(&["pack"]).1, Some(2));
}

#[test]
fn a_registry_that_is_not_there_is_named() {
    let (said, code) = fails(&["inspect", "127.0.0.1:1/app:1"]);
    assert!(said.contains("127.0.0.1:1") && said.contains("refused"), "{said}");
    assert_eq!(code, Some(69));
    assert_eq!(fails(&["inspect", "Not A Name"]).1, Some(64));
}
