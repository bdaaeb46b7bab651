//! Pushing to a real registry, and reading what is there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use spin_oci::push::PlainHttp;
use spin_oci::{Kind, open};

use crate::server::Registry;
use crate::support::{app, directory, materialise, read, wasm};

const FILES: &[(&str, &[u8])] = &[("static/a", &[b'a'; 300]), ("static/b", b"b")];
const MOUNT: &str = "files = [{ source = \"static\", destination = \"/\" }]";

/// Pushes with docker's configuration in this directory.
fn push(app: &Path, reference: &str, flags: &[&str], docker: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spin-oci"));
    command.arg("push").arg(app).arg(reference).args(flags).env("DOCKER_CONFIG", docker).output().unwrap()
}

fn pushed(app: &Path, reference: &str, flags: &[&str]) -> (String, String) {
    let output = push(app, reference, flags, Path::new("/nonexistent"));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    assert!(output.status.success(), "{}", text(output.stderr));
    (text(output.stdout).trim().to_owned(), text(output.stderr))
}

#[test]
fn an_artifact_is_pushed_and_read_again() {
    let registry = Registry::open();
    let reference = format!("{}/some/app:1", registry.host());
    let (digest, _) = pushed(app(MOUNT, FILES).path(), &reference, &[]);
    let opened = open(&reference, PlainHttp::Loopback).unwrap();
    assert_eq!((opened.kind, opened.digest.unwrap().to_string()), (Kind::Artifact, digest));
    assert_eq!(opened.app.components["main"].read().unwrap(), wasm(100));
    assert_eq!(read(materialise(&opened.app).unwrap().path(), "tree/a"), "a".repeat(300));
}

#[test]
fn a_plain_image_is_pushed_and_read_again() {
    let registry = Registry::open();
    let reference = format!("{}/some/app:1-plain", registry.host());
    let (digest, _) = pushed(app(MOUNT, FILES).path(), &reference, &["--plain"]);
    let opened = open(&reference, PlainHttp::Loopback).unwrap();
    assert_eq!((opened.kind, opened.digest.unwrap().to_string()), (Kind::Plain, digest));
    assert_eq!(opened.app.components["main"].read().unwrap(), wasm(100));
}

#[test]
fn an_archive_layer_is_pushed_and_unpacked() {
    let registry = Registry::open();
    let reference = format!("{}/app:1", registry.host());
    pushed(app(MOUNT, FILES).path(), &reference, &["--archive"]);
    let opened = open(&reference, PlainHttp::Loopback).unwrap();
    assert_eq!(read(materialise(&opened.app).unwrap().path(), "tree/a"), "a".repeat(300));
}

#[test]
fn layers_that_are_there_are_not_sent_again() {
    let registry = Registry::open();
    let reference = format!("{}/app:1", registry.host());
    let (first, _) = pushed(app(MOUNT, FILES).path(), &reference, &[]);
    let (second, said) = pushed(app(MOUNT, FILES).path(), &reference, &[]);
    assert_eq!(first, second);
    assert_eq!((said.matches("exists ").count(), said.matches("pushed ").count()), (4, 1), "{said}");
}

#[test]
fn credentials_are_dockers() {
    let registry = Registry::guarded();
    let host = registry.host();
    let docker =
        directory(&[("config.json", format!("{{\"auths\":{{\"{host}\":{{\"auth\":\"Y29vazpwaXp6YQ==\"}}}}}}").as_bytes())]);
    let output = push(app("", &[]).path(), &format!("{host}/app:1"), &[], docker.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn credentials_come_from_a_helper_too() {
    let registry = Registry::guarded();
    let host = registry.host();
    let script = "#!/bin/sh\nread server\necho \"{\\\"ServerURL\\\":\\\"$server\\\",\\\"Username\\\":\\\"cook\\\",\\\"Secret\\\":\\\"pizza\\\"}\"\n";
    let config = format!("{{\"credHelpers\":{{\"{host}\":\"test\"}}}}");
    let docker = directory(&[("config.json", config.as_bytes()), ("docker-credential-test", script.as_bytes())]);
    let helper = docker.path().join("docker-credential-test");
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", docker.path().display(), std::env::var("PATH").unwrap());
    let (app, mut command) = (app("", &[]), Command::new(env!("CARGO_BIN_EXE_spin-oci")));
    command.arg("push").arg(app.path()).arg(format!("{host}/app:1")).env("DOCKER_CONFIG", docker.path()).env("PATH", path);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn credentials_that_are_missing_or_wrong_are_told() {
    let registry = Registry::guarded();
    let host = registry.host();
    let wrong = format!("{{\"auths\":{{\"{host}\":{{\"auth\":\"Y29vazp3cm9uZw==\"}}}}}}");
    for (config, expected) in [("{}", "`docker login` writes them"), (wrong.as_str(), "does not let us")] {
        let docker = directory(&[("config.json", config.as_bytes())]);
        let output = push(app("", &[]).path(), &format!("{host}/app:1"), &[], docker.path());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(expected) && said.contains(host) && !said.contains("wrong"), "{said}");
        assert_eq!(output.status.code(), Some(77), "{said}");
    }
}

#[test]
fn the_manifest_says_what_it_is() {
    let registry = Registry::open();
    pushed(app("", &[]).path(), &format!("{}/app:1", registry.host()), &["--annotation", "a=b"]);
    let client = spin_oci::push::Registry::new(&format!("{}/app:1", registry.host()), PlainHttp::Loopback).unwrap();
    let manifest: Value = serde_json::from_slice(&client.manifest(None).unwrap()).unwrap();
    assert_eq!(
        (&manifest["annotations"]["a"], &manifest["annotations"]["org.opencontainers.image.title"]),
        (&"b".into(), &"app".into())
    );
}

#[test]
fn an_image_that_is_not_there_is_told() {
    let registry = Registry::open();
    let error = open(&format!("{}/app:1", registry.host()), PlainHttp::Loopback).err().unwrap();
    assert!(error.to_string().ends_with("manifest unknown"), "{error}");
    assert_eq!(error.exit_code(), 69);
}
