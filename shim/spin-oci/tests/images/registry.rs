//! Pushing to a real registry, and reading what is there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use spin_oci::push::PlainHttp;
use spin_oci::{Kind, open};
use tempfile::TempDir;

use crate::server::Registry;
use crate::support::{app, directory, materialise, read, wasm};
use crate::tokens::{IDENTITY, TokenService};

const FILES: &[(&str, &[u8])] = &[("static/a", &[b'a'; 300]), ("static/b", b"b")];
const MOUNT: &str = "files = [{ source = \"static\", destination = \"/\" }]";

const AZURE_USER: &str = "00000000-0000-0000-0000-000000000000";

/// Docker's configuration with the program `docker-credential-test`, which answers with this user and this secret.
fn with_helper(host: &str, user: &str, secret: &str) -> TempDir {
    let answer = json!({ "ServerURL": host, "Username": user, "Secret": secret });
    let script = format!("#!/bin/sh\nread server\n[ \"$server\" = {host} ] && echo '{answer}'\n");
    let config = json!({ "credHelpers": { host: "test" } }).to_string();
    let docker = directory(&[("config.json", config.as_bytes()), ("docker-credential-test", script.as_bytes())]);
    fs::set_permissions(docker.path().join("docker-credential-test"), fs::Permissions::from_mode(0o755)).unwrap();
    docker
}

/// Docker's configuration with this entry for the registry.
fn with_entry(host: &str, entry: Value) -> TempDir {
    directory(&[("config.json", json!({ "auths": { host: entry } }).to_string().as_bytes())])
}

/// Pushes with docker's configuration in this directory.
fn push(app: &Path, reference: &str, flags: &[&str], docker: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spin-oci"));
    let path = format!("{}:{}", docker.display(), std::env::var("PATH").unwrap());
    command.arg("push").arg(app).arg(reference).args(flags).env("DOCKER_CONFIG", docker).env("PATH", path).output().unwrap()
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
    let docker = with_helper(host, "cook", "pizza");
    let output = push(app("", &[]).path(), &format!("{host}/app:1"), &[], docker.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn identity_token_is_exchanged_for_an_access_token() {
    let service = TokenService::start();
    let registry = Registry::with_tokens(&service);
    let host = registry.host();
    let azure = json!({ "auth": BASE64_STANDARD.encode(format!("{AZURE_USER}:")), "identitytoken": IDENTITY });
    let configurations = [
        with_entry(host, json!({ "identitytoken": IDENTITY })),
        with_entry(host, azure),
        with_helper(host, "<token>", IDENTITY),
        with_helper(host, AZURE_USER, IDENTITY),
    ];
    for (number, docker) in configurations.iter().enumerate() {
        let output = push(app(MOUNT, FILES).path(), &format!("{host}/some/app:{number}"), &[], docker.path());
        assert!(output.status.success(), "{number}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let requests = service.requests();
    assert_eq!(requests[..3], ["POST refresh_token repository:some/app:pull,push"; 3]);
    // With a password the client asks once for each kind of access.
    let by_password = format!("GET {AZURE_USER} repository:some/app:pull");
    assert!(requests.len() > 3 && requests[3..].iter().all(|request| request.starts_with(&by_password)), "{requests:?}");
}

#[test]
fn image_is_read_with_an_identity_token_too() {
    let service = TokenService::start();
    let registry = Registry::with_tokens(&service);
    let (host, reference) = (registry.host(), format!("{}/app:1", registry.host()));
    let docker = with_entry(host, json!({ "identitytoken": IDENTITY }));
    assert!(push(app("", &[]).path(), &reference, &[], docker.path()).status.success());
    let mut command = Command::new(env!("CARGO_BIN_EXE_spin-oci"));
    let output = command.args(["inspect", &reference]).env("DOCKER_CONFIG", docker.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(service.requests().last().unwrap(), "POST refresh_token repository:app:pull");
}

#[test]
fn identity_token_that_is_refused_or_of_no_use_is_said_and_not_shown() {
    let service = TokenService::start();
    let (with_tokens, with_passwords) = (Registry::with_tokens(&service), Registry::guarded());
    for (registry, reason) in [(&with_tokens, "refused the identity token with status 401"), (&with_passwords, "a password only")]
    {
        let docker = with_entry(registry.host(), json!({ "identitytoken": "a-wrong-secret" }));
        let output = push(app("", &[]).path(), &format!("{}/app:1", registry.host()), &[], docker.path());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(77), "{said}");
        assert!(said.contains(reason) && !said.contains("a-wrong-secret"), "{said}");
    }
}

#[test]
fn machine_without_certificates_is_said() {
    let (none, empty) = (directory(&[]), directory(&[("none.pem", b"")]));
    let mut command = Command::new(env!("CARGO_BIN_EXE_spin-oci"));
    command.arg("push").arg(app("", &[]).path()).arg("registry.invalid/app:1");
    let output = command.env("SSL_CERT_FILE", empty.path().join("none.pem")).env("SSL_CERT_DIR", none.path()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.starts_with("spin-oci: TLS can't be set up: ") && said.lines().count() == 1, "{said}");
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
