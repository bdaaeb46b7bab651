//! Artifacts: those of Spin, old and new, and single wasm files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use serde_json::{Value, json};
use spin_oci::{Digest, InThisProcess, LoadedApp, OciError, index_manifests, is_artifact, load_artifact, media};

use crate::support::{Artifact, materialise, paths, read, tree, wasm};

const LARGE: &[u8] = &[b'l'; 300];

/// An app with a file of each kind, as Spin pushes it.
fn pushed() -> Artifact {
    let files = json!([
        { "path": "large.txt", "digest": Digest::of(LARGE).as_str() },
        { "path": "a/small.txt", "inline": "c21hbGw=", "digest": Digest::of(b"small").as_str() },
    ]);
    Artifact::default().layer(media::WASM, &wasm(100)).layer(media::DATA, LARGE).app(&wasm(100), files)
}

fn refused(artifact: Artifact) -> (String, i32) {
    let error = artifact.load().err().expect("it is refused");
    (error.to_string(), error.exit_code())
}

/// The error of what is read only when it is wanted.
fn corrupt(found: Result<impl Sized, OciError>) -> String {
    let error = found.err().expect("it is refused");
    assert_eq!(error.exit_code(), 68);
    error.to_string()
}

#[test]
fn wasm_data_and_inline_files_are_found() {
    let loaded = pushed().load().unwrap();
    assert_eq!(loaded.components["main"].read().unwrap(), wasm(100));
    assert_eq!(paths(&loaded), ["a/small.txt", "large.txt"]);
    let directory = materialise(&loaded).unwrap();
    assert_eq!(read(directory.path(), "tree/a/small.txt"), "small");
    assert_eq!(read(directory.path(), "tree/large.txt").as_bytes(), LARGE);
}

#[test]
fn files_are_readable_by_any_user_and_not_writable() {
    let directory = materialise(&pushed().load().unwrap()).unwrap();
    let mode = |path: &str| fs::metadata(directory.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("tree"), mode("tree/a"), mode("tree/a/small.txt")), (0o755, 0o755, 0o444));
}

#[test]
fn materialising_at_once_leaves_one_tree_and_nothing_else() {
    let (loaded, directory) = (pushed().load().unwrap(), tempfile::tempdir().unwrap());
    let into = directory.path().join("trees").join(tree(&loaded).key());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| tree(&loaded).materialise(&into, &InThisProcess, u64::MAX).unwrap());
        }
    });
    assert_eq!(fs::read_dir(directory.path().join("trees")).unwrap().count(), 1);
    assert_eq!(read(&into, "a/small.txt"), "small");
}

#[test]
fn the_oldest_apps_have_the_locked_app_for_a_configuration() {
    let app = json!({ "triggers": [], "components": [{ "id": "main", "source": { "digest": Digest::of(&wasm(1)).as_str() } }], "metadata": { "name": "old" } });
    let app = app.to_string().into_bytes();
    let artifact = Artifact::default().layer(media::LOCKED_APP, &app).layer(media::WASM, &wasm(1));
    // The blob is the same; the manifest lists it as the configuration instead of as a layer.
    let manifest = Artifact::default().layer(media::WASM, &wasm(1)).manifest(media::LOCKED_APP, &app);
    assert!(is_artifact(&manifest));
    let loaded = load_artifact(&manifest, Arc::new(artifact)).unwrap();
    assert_eq!((loaded.app.name(), loaded.components["main"].read().unwrap()), ("old", wasm(1)));
}

#[test]
fn a_single_wasm_file_serves_http() {
    let loaded = Artifact::default().layer(media::WASM_PACKAGE, &wasm(3)).load().unwrap();
    let triggers: Vec<_> = loaded.app.triggers_of("http").collect();
    assert_eq!((triggers.len(), &triggers[0].trigger_config["route"]), (1, &json!("/...")));
    let component = triggers[0].component().unwrap();
    assert_eq!(loaded.components[component].read().unwrap(), wasm(3));
}

#[test]
fn images_of_other_things_are_no_artifacts() {
    let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
    let plain = Artifact::default().layer(layer, b"x");
    assert!(!is_artifact(&plain.manifest("application/vnd.oci.image.config.v1+json", b"{}")));
    assert!(!is_artifact(b"not json"));
    assert_eq!(refused(plain), ("the image holds neither a Spin app nor a single wasm layer".to_owned(), 64));
    let two = Artifact::default().layer(media::WASM_PACKAGE, &wasm(1)).layer(media::WASM_PACKAGE, &wasm(2));
    assert_eq!(refused(two).1, 64);
}

#[test]
fn content_that_no_layer_has_is_named() {
    let (said, code) = refused(Artifact::default().layer(media::DATA, LARGE).app(&wasm(100), json!([])));
    assert_eq!(said, format!("component \"main\": no layer of the image has the content {}", Digest::of(&wasm(100))));
    assert_eq!(code, 68);
    let files = json!([{ "path": "x", "digest": Digest::of(b"?").as_str() }]);
    let (said, code) = refused(Artifact::default().layer(media::WASM, &wasm(100)).app(&wasm(100), files));
    assert!(said.starts_with("component \"main\", file \"x\": no layer"), "{said}");
    assert_eq!(code, 68);
}

#[test]
fn content_that_is_not_what_its_digest_says_is_refused() {
    let other: Vec<u8> = LARGE.iter().map(|byte| byte + 1).collect();
    let said = corrupt(materialise(&pushed().replace(LARGE, &other).load().unwrap()));
    assert!(said.contains(Digest::of(LARGE).as_str()) || said.contains("large.txt"), "{said}");
    corrupt(pushed().replace(&wasm(100), &wasm(99)).load().unwrap().components["main"].read());
}

#[test]
fn content_that_is_cut_short_or_too_long_is_refused() {
    let read = |bytes: &[u8]| pushed().replace(&wasm(100), bytes).load().unwrap().components["main"].read();
    assert!(corrupt(read(&wasm(100)[..20])).contains("found 20 bytes"));
    assert!(corrupt(read(&[wasm(100), vec![0]].concat())).contains("found more"));
    assert!(corrupt(materialise(&pushed().replace(LARGE, b"short").load().unwrap())).contains("expected"));
}

#[test]
fn a_layer_that_claims_to_be_huge_is_not_allocated() {
    let manifest = String::from_utf8(pushed().manifest("application/vnd.oci.image.config.v1+json", b"{}")).unwrap();
    let size = format!("\"size\":{}", wasm(100).len());
    let huge = manifest.replacen(&size, "\"size\":9000000000000000000", 1);
    assert_ne!(manifest, huge);
    let loaded: LoadedApp = load_artifact(huge.as_bytes(), Arc::new(pushed())).unwrap();
    assert!(corrupt(loaded.components["main"].read()).contains("larger than the 536870912 bytes allowed"));
}

#[test]
fn paths_that_lead_out_are_refused() {
    for path in ["../x", "/x", "a/../../x", "", "a//b", "./a", "a\0b"] {
        let files = json!([{ "path": path, "inline": "eA==" }]);
        let (said, code) = refused(Artifact::default().layer(media::WASM, &wasm(1)).app(&wasm(1), files));
        assert!(said.contains("is not a path inside the app"), "{said}");
        assert_eq!(code, 64);
    }
}

#[test]
fn a_file_that_is_a_directory_too_is_refused() {
    let files = json!([{ "path": "a", "inline": "eA==" }, { "path": "a/b", "inline": "eA==" }]);
    let loaded = Artifact::default().layer(media::WASM, &wasm(1)).app(&wasm(1), files).load().unwrap();
    assert!(materialise(&loaded).is_err());
}

#[test]
fn an_index_gives_the_sha256_digests_of_its_manifests_in_their_order() {
    let digests = [Digest::of(b"1"), Digest::of(b"2")];
    let entry = |digest: &str| json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1 });
    let entries = [entry(digests[0].as_str()), entry("sha512:00"), entry("sha256:../../etc/passwd"), entry(digests[1].as_str())];
    let index = json!({ "schemaVersion": 2, "manifests": entries });
    assert_eq!(index_manifests(index.to_string().as_bytes()), digests);
    assert!(index_manifests(b"no index").is_empty() && index_manifests(b"{}").is_empty());
}

#[test]
fn an_index_of_a_thousand_platforms_is_not_followed_to_its_end() {
    let entries: Vec<Value> =
        (0..1000).map(|number: u32| json!({ "digest": Digest::of(&number.to_le_bytes()).as_str() })).collect();
    assert_eq!(index_manifests(json!({ "manifests": entries }).to_string().as_bytes()).len(), 64);
}
