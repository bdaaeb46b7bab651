//! The manifest of an image, and the index above it.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;

use spin_oci::{Blobs, Digest, Files, index_manifests, is_artifact, load_artifact};

/// The component of all images here: the shortest that there is.
pub(super) const WASM: &[u8] = b"\0asm\x0d\0\x01\0";
/// The locked app of images that name it.
const LOCKED_APP: &[u8] = include_bytes!("../../corpus/locked_app/artifact.json");

/// Digests that an index names are digests. An app that is loaded has wasm and files for each component; wasm that is read has the digest that the image
/// says, and no file has a path that leads out.
pub(super) fn check(input: &[u8]) -> bool {
    for digest in index_manifests(input) {
        assert_eq!(Digest::parse(digest.as_str()).expect("a digest"), digest);
    }
    // Whether an image is loaded as an artifact at all.
    let _either = is_artifact(input);
    let loaded = match load_artifact(input, Arc::new(Memory::of([WASM, LOCKED_APP]))) {
        Ok(loaded) => loaded,
        Err(error) => {
            assert!((64..=68).contains(&error.exit_code()), "{error}");
            return false;
        }
    };
    for component in &loaded.app.components {
        let wasm = &loaded.components[&component.id];
        if let Ok(bytes) = wasm.read() {
            assert_eq!((Digest::of(&bytes), bytes.len() as u64), (wasm.digest.clone(), wasm.size));
        }
        if let Files::Tree(tree) = &loaded.files[&component.id] {
            assert!(tree.files().all(|(path, _)| path.split('/').all(|name| !matches!(name, "" | "." | ".."))));
        }
    }
    true
}

/// Blobs in memory.
pub(super) struct Memory(HashMap<String, Vec<u8>>);

impl Memory {
    pub(super) fn of<'a>(blobs: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self(blobs.into_iter().map(|bytes| (Digest::of(bytes).to_string(), bytes.to_vec())).collect())
    }
}

impl Blobs for Memory {
    fn open(&self, digest: &str) -> io::Result<Box<dyn Read + Send>> {
        let bytes = self.0.get(digest).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(io::Cursor::new(bytes.clone())))
    }
}
