//! What `spin-oci push` puts into a real registry, containerd pulls and the shim runs.

use std::process::Command;

use harness::process::run;
use harness::{Containerd, Registry, SpinApp, required_env};

/// Pushes an app; the digest that `spin-oci` prints.
fn push(app: &SpinApp, reference: &str, flags: &[&str]) -> String {
    run(Command::new(required_env("SPIN_OCI")).arg("push").arg(app.dir()).arg(reference).args(flags)).trim().to_owned()
}

#[test]
fn a_pushed_artifact_is_pulled_and_runs() {
    let (registry, containerd) = (Registry::start(), Containerd::v2());
    let image = format!("{}/apps/hello:1", registry.host());
    push(&SpinApp::http("hello-p3", ""), &image, &[]);
    containerd.ctr_ok(&["images", "pull", "--plain-http", &image]);
    assert_eq!(containerd.run("pulled", &image, &[]).get("/").status, 200);
}

#[test]
fn a_pushed_plain_image_is_pulled_and_runs() {
    let (registry, containerd) = (Registry::start(), Containerd::v2());
    let image = format!("{}/apps/hello:1-plain", registry.host());
    push(&SpinApp::http("hello-p2", ""), &image, &["--plain"]);
    containerd.ctr_ok(&["images", "pull", "--plain-http", &image]);
    assert_eq!(containerd.run("pulled", &image, &[]).get("/").status, 200);
}

#[test]
fn an_archive_layer_is_unpacked() {
    let (registry, containerd) = (Registry::start(), Containerd::v2());
    let image = format!("{}/apps/files:1", registry.host());
    let app = SpinApp::http("probe-http", "files = [{ source = \"assets\", destination = \"/\" }]")
        .file("assets/a/b.txt", &[b'y'; 500]);
    push(&app, &image, &["--archive"]);
    containerd.ctr_ok(&["images", "pull", "--plain-http", &image]);
    assert!(containerd.run("archive", &image, &[]).get("/?read=/a/b.txt").body.contains(&"y".repeat(500)));
}

#[test]
fn the_same_app_has_the_same_digest_and_another_has_another() {
    let registry = Registry::start();
    let push_as = |name: &str, text: &[u8]| {
        let app = SpinApp::http("probe-http", "files = [\"a.txt\"]").file("a.txt", text);
        push(&app, &format!("{}/{name}:1", registry.host()), &[])
    };
    let (first, second, other) = (push_as("one", b"same"), push_as("two", b"same"), push_as("three", b"else"));
    assert!(first.contains("sha256:") && first == second && first != other, "{first} {second} {other}");
}

#[test]
fn inspect_tells_what_an_image_holds() {
    let registry = Registry::start();
    let image = format!("{}/apps/hello:1", registry.host());
    push(&SpinApp::http("hello-p3", ""), &image, &[]);
    let said = run(Command::new(required_env("SPIN_OCI")).arg("inspect").arg(&image));
    assert!(said.contains("hello-p3") && said.contains("http") && said.contains("main"), "{said}");
}
