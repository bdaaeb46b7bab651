//! Digests, paths and patterns as tests/fuzz does not make them: whatever they are, the answer is an error, never a panic.

use std::fs;
use std::os::fd::AsFd;

use proptest::prelude::*;
use serde_json::json;
use spin_oci::{Digest, load_rootfs, media};

use crate::support::{Artifact, app, materialise, wasm};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

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
    fn no_pattern_panics_or_leads_out(pattern in "[*?\\[\\]!a./-]{0,16}", exclude in "[*?\\[\\]!a./-]{0,8}") {
        let component = format!("files = [{pattern:?}]\nexclude_files = [{exclude:?}]");
        let image = app(&component, &[("a/b.a", b"1"), ("a/a/a", b"2")]);
        let _ = load_rootfs(fs::File::open(image.path()).unwrap().as_fd(), &(), &[]);
    }
}
