//! Whatever comes from outside, the answer is an error, never a panic.

use std::fs;
use std::os::fd::AsFd;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use spin_oci::{Digest, is_artifact, load_artifact, load_rootfs, media};

use crate::support::{Artifact, app, materialise, wasm};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_manifest_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        is_artifact(&bytes);
        let _ = load_artifact(&bytes, Arc::new(Artifact::default()));
    }

    #[test]
    fn no_broken_manifest_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let artifact = Artifact::default().layer(media::WASM, &wasm(1)).app(&wasm(1), json!([]));
        let mut manifest = artifact.manifest("application/vnd.oci.image.config.v1+json", b"{}");
        let at = at.index(manifest.len());
        manifest[at] = byte;
        if let Ok(app) = load_artifact(&manifest, Arc::new(artifact)) {
            let _ = app.components["main"].read();
        }
    }

    #[test]
    fn no_digest_panics(text in "\\PC*") {
        let _ = Digest::parse(&text);
    }

    #[test]
    fn no_path_of_an_artifacts_file_leads_out(path in "[./a\\\\\u{0}é~-]{0,12}") {
        let files = json!([{ "path": path, "inline": "eA==" }]);
        if let Ok(app) = Artifact::default().layer(media::WASM, &wasm(1)).app(&wasm(1), files).load()
            && let Ok(directory) = materialise(&app)
        {
            prop_assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
            prop_assert!(directory.path().join("tree").join(&path).is_file());
        }
    }

    #[test]
    fn no_archive_panics(bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&bytes).unwrap();
        let artifact = Artifact::default().layer(media::WASM, &wasm(1)).layer(media::ARCHIVE, &encoder.finish().unwrap());
        let files = json!([{ "path": "a", "digest": Digest::of(b"?").as_str() }]);
        prop_assert!(materialise(&artifact.app(&wasm(1), files).load().unwrap()).is_err());
    }

    #[test]
    fn no_pattern_panics_or_leads_out(pattern in "[*?\\[\\]!a./-]{0,16}", exclude in "[*?\\[\\]!a./-]{0,8}") {
        let component = format!("files = [{pattern:?}]\nexclude_files = [{exclude:?}]");
        let image = app(&component, &[("a/b.a", b"1"), ("a/a/a", b"2")]);
        let _ = load_rootfs(fs::File::open(image.path()).unwrap().as_fd(), &());
    }
}
