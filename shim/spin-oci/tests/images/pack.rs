//! Images made here, read again.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;
use spin_oci::pack::{Archives, Artifact, Image, load_directory, plain, write_archive};
use spin_oci::push::PlainHttp;
use spin_oci::{Files, Kind, Opened, open};
use tempfile::TempDir;

use crate::support::{app, directory, manifest, materialise, read, wasm};

fn artifact(app: &Path, archives: Archives) -> Image {
    Artifact { archives, annotations: Default::default() }.image(&load_directory(app).unwrap()).unwrap()
}

/// Writes an image and opens it again.
fn opened(image: &Image) -> (TempDir, Opened) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("image.tar");
    write_archive(image, "example.com/app:1", &file).unwrap();
    let opened = open(file.to_str().unwrap(), PlainHttp::Loopback).unwrap();
    (directory, opened)
}

fn media_types(image: &Image) -> Vec<&str> {
    let types = image.blobs.iter().map(|blob| blob.media_type.rsplit('/').next().unwrap());
    types.map(|kind| kind.trim_start_matches("vnd.")).collect()
}

const FILES: &[(&str, &[u8])] = &[("static/small", b"s"), ("static/large", &[b'l'; 300]), ("static/d/copy", &[b'l'; 300])];
const MOUNT: &str = "files = [{ source = \"static\", destination = \"/\" }]";

#[test]
fn an_artifact_has_the_layers_spin_gives_it() {
    let image = artifact(app(MOUNT, FILES).path(), Archives::WhenNeeded);
    // Wasm, one layer for two equal files, none for the small one, the app, and the configuration at last.
    let expected = ["wasm.content.layer.v1+wasm", "wasm.content.layer.v1+data", "fermyon.spin.application.v1+config"];
    assert_eq!(media_types(&image)[..3], expected);
    let config: Value = serde_json::from_slice(&image.blobs[3].read().unwrap()).unwrap();
    assert_eq!((&config["architecture"], &config["os"]), (&"wasm".into(), &"Wasip1".into()));
    assert_eq!(config["config"]["Labels"]["com.fermyon.spin.lockedAppDigest"], image.blobs[2].digest.as_str());
    let manifest: Value = serde_json::from_slice(&image.top().read().unwrap()).unwrap();
    assert_eq!(manifest["annotations"]["org.opencontainers.image.version"], "1.0.0");
}

#[test]
fn an_artifact_is_read_as_it_was_packed() {
    let (_directory, opened) = opened(&artifact(app(MOUNT, FILES).path(), Archives::WhenNeeded));
    assert_eq!((opened.kind, opened.app.components["main"].read().unwrap()), (Kind::Artifact, wasm(100)));
    let files = materialise(&opened.app).unwrap();
    assert_eq!((read(files.path(), "tree/small"), read(files.path(), "tree/d/copy")), ("s".to_owned(), "l".repeat(300)));
}

#[test]
fn an_archive_is_read_as_it_was_packed() {
    let image = artifact(app(MOUNT, FILES).path(), Archives::Always);
    assert!(media_types(&image).contains(&"wasm.content.bundle.v1.tar+gzip"));
    let files = materialise(&opened(&image).1.app).unwrap();
    assert_eq!((read(files.path(), "tree/large"), read(files.path(), "tree/small")), ("l".repeat(300), "s".to_owned()));
}

#[test]
fn more_files_than_registries_allow_layers_are_archived() {
    let many: Vec<_> = (0..500).map(|number| (format!("static/{number}"), format!("{number:0200}"))).collect();
    let many: Vec<_> = many.iter().map(|(path, text)| (path.as_str(), text.as_bytes())).collect();
    let image = artifact(app(MOUNT, &many).path(), Archives::WhenNeeded);
    assert_eq!(image.blobs.len(), 4);
    let files = materialise(&opened(&image).1.app).unwrap();
    assert_eq!(read(files.path(), "tree/499"), format!("{:0200}", 499));
}

#[test]
fn a_plain_image_is_read_as_it_was_packed() {
    let (_directory, opened) = opened(&plain(&load_directory(app(MOUNT, FILES).path()).unwrap()).unwrap());
    assert_eq!((opened.kind, opened.app.components["main"].read().unwrap()), (Kind::Plain, wasm(100)));
    assert!(matches!(opened.app.files["main"], Files::Directory(_)));
}

#[test]
fn a_plain_image_is_for_the_nodes_platforms_and_says_its_user() {
    let image = plain(&load_directory(app("", &[]).path()).unwrap()).unwrap();
    let index: Value = serde_json::from_slice(&image.top().read().unwrap()).unwrap();
    let platforms: Vec<_> =
        index["manifests"].as_array().unwrap().iter().map(|entry| &entry["platform"]["architecture"]).collect();
    assert_eq!(platforms, ["amd64", "arm64"]);
    let config: Value = serde_json::from_slice(&image.blobs[1].read().unwrap()).unwrap();
    assert_eq!((&config["config"]["User"], &config["config"]["Entrypoint"][0]), (&"65532:65532".into(), &"/".into()));
}

#[test]
fn a_plain_image_has_the_whole_app() {
    let component = "description = \"d\"\nallowed_outbound_hosts = [\"https://x.org\"]\nkey_value_stores = [\"default\"]\n\
        sqlite_databases = [\"default\"]\nenvironment = { A = \"1\" }\nvariables = { v = \"{{ v }}\" }\n\
        [variables]\nv = { required = true, secret = true }\nw = { default = \"\" }\n[application.trigger.redis]\naddress = \"redis://x\"\n\
        [[trigger.redis]]\nchannel = \"c\"\ncomponent = { source = \"main.wasm\" }";
    let app = app(component, &[]);
    let (written, meant) = (opened(&plain(&load_directory(app.path()).unwrap()).unwrap()).1, load_directory(app.path()).unwrap());
    let comparable = |app: &spin_oci::LoadedApp| (app.app.variables.len(), app.app.triggers.len(), app.app.metadata.clone());
    assert_eq!(comparable(&written.app), comparable(&meant));
    assert_eq!(written.app.app.components[1].metadata, meant.app.components[1].metadata);
}

#[test]
fn the_same_app_makes_the_same_image_elsewhere_and_later() {
    let (first, second) = (app(MOUNT, FILES), app(MOUNT, FILES));
    let later = filetime(second.path().join("static/large"));
    assert_ne!(later, filetime(first.path().join("static/large")));
    for archives in [Archives::WhenNeeded, Archives::Always] {
        assert_eq!(artifact(first.path(), archives).top().digest, artifact(second.path(), archives).top().digest);
    }
    let plain = |app: &Path| plain(&load_directory(app).unwrap()).unwrap().top().digest.clone();
    assert_eq!(plain(first.path()), plain(second.path()));
    fs::write(second.path().join("static/small"), "t").unwrap();
    assert_ne!(plain(first.path()), plain(second.path()));
}

/// Sets a file's time apart from any other's, and returns it.
fn filetime(path: PathBuf) -> std::time::SystemTime {
    let file = fs::File::options().write(true).open(path).unwrap();
    static AGE: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1000);
    let seconds = AGE.fetch_add(1000, std::sync::atomic::Ordering::Relaxed);
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    file.set_modified(time).unwrap();
    time
}

#[test]
fn an_archive_of_an_image_holds_no_time_and_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("image.tar");
    write_archive(&artifact(app("", &[]).path(), Archives::WhenNeeded), "example.com/app:1", &file).unwrap();
    let mut tar = tar::Archive::new(fs::File::open(file).unwrap());
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (0, 0, 0));
        if entry.path().unwrap() == Path::new("index.json") {
            let mut index = String::new();
            entry.read_to_string(&mut index).unwrap();
            assert!(index.contains("\"io.containerd.image.name\":\"example.com/app:1\""), "{index}");
        }
    }
}

#[test]
fn a_developers_source_may_be_outside_the_apps_directory() {
    let manifest = manifest("").replace("main.wasm", "../target/out.wasm");
    let tree = directory(&[("app/spin.toml", manifest.as_bytes()), ("target/out.wasm", &wasm(7))]);
    let loaded = load_directory(&tree.path().join("app")).unwrap();
    assert_eq!(opened(&plain(&loaded).unwrap()).1.app.components["main"].read().unwrap(), wasm(7));
}

#[test]
fn what_is_not_wasm_is_not_packed() {
    let error = load_directory(app("", &[("main.wasm", b"text")]).path()).err().unwrap();
    assert_eq!((error.to_string().as_str(), error.exit_code()), ("component \"main\": \"main.wasm\" is not a wasm file", 65));
}

#[test]
fn dependencies_are_refused_not_dropped() {
    let component = "[component.main.dependencies]\n\"a:b/c@1.0.0\" = { path = \"dep.wasm\" }";
    let error = load_directory(app(component, &[]).path()).err().unwrap();
    assert!(error.to_string().contains("`dependencies`"), "{error}");
    assert_eq!(error.exit_code(), 64);
}

#[test]
fn sources_from_elsewhere_are_refused() {
    let digest = "0".repeat(64);
    let source = format!("{{ url = \"https://example.com/a.wasm\", digest = \"sha256:{digest}\" }}");
    let tree = directory(&[("spin.toml", manifest("").replace("\"main.wasm\"", &source).as_bytes())]);
    let error = load_directory(tree.path()).err().unwrap();
    assert!(error.to_string().contains("main"), "{error}");
}
