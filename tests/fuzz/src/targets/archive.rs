//! Archives of files, and the stream that the process which unpacks them writes.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use spin_oci::{Digest, FileTree, Files, InThisProcess, Unpacker, load_artifact, media, unpack};

use super::image::{Memory, WASM};

/// The files that the app wants: where, and what they hold. Archives of the corpus have them.
const WANTED: [(&str, &[u8]); 3] = [("index.html", b"<html>"), ("a/b/empty", b""), ("a/one", b"1")];
/// The bytes that the node has left for them.
const ROOM: u64 = 8 << 20;

/// An archive, or a tar file that becomes one: unpacked, it makes all the files that the app wants or nothing, and touches nothing outside.
pub(super) fn check(input: &[u8]) -> bool {
    let archive = if input.starts_with(b"\x1f\x8b") { input.to_vec() } else { gzip(input) };
    // In this thread first, where memory is measured.
    unpack(archive.as_slice(), io::sink()).expect("all output is taken");
    materialise(&archive, &InThisProcess)
}

/// The same for any output of the process that unpacks, which may be compromised.
pub(super) fn check_frames(input: &[u8]) -> bool {
    materialise(&gzip(b""), &Output(input))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes it")
}

fn materialise(archive: &[u8], unpacker: &dyn Unpacker) -> bool {
    let outside = tempfile::tempdir_in(memory_directory()).expect("a directory");
    let parent = outside.path().join("files");
    let made = tree(archive).materialise(&parent.join("tree"), unpacker, ROOM);
    assert_eq!(names(outside.path()), ["files"], "something lies outside");
    match made {
        Ok(bytes) => {
            assert_eq!(names(&parent), ["tree"]);
            assert_eq!(bytes, WANTED.iter().map(|(_, content)| content.len() as u64).sum::<u64>());
            check_tree(&parent.join("tree"));
            true
        }
        Err(error) => {
            assert_eq!(error.exit_code(), 68, "{error}");
            assert!(names(&parent).is_empty(), "something is left");
            false
        }
    }
}

fn check_tree(tree: &Path) {
    assert_eq!(names(tree), ["a", "index.html"]);
    assert_eq!(names(&tree.join("a")), ["b", "one"]);
    for (path, content) in WANTED {
        assert_eq!(fs::read(tree.join(path)).expect(path), content, "{path}");
    }
}

/// The files of an app whose image has this archive.
fn tree(archive: &[u8]) -> FileTree {
    let files = WANTED.map(|(path, content)| json!({ "path": path, "digest": Digest::of(content).as_str() }));
    let app = json!({
        "triggers": [],
        "components": [{ "id": "main", "source": { "digest": Digest::of(WASM).as_str() }, "files": files }],
    });
    let app = app.to_string().into_bytes();
    let layers = [layer(media::WASM, WASM), layer(media::ARCHIVE, archive), layer(media::LOCKED_APP, &app)];
    let manifest =
        json!({ "schemaVersion": 2, "config": layer("application/vnd.oci.image.config.v1+json", b"{}"), "layers": layers });
    let blobs = Memory::of([WASM, archive, &app]);
    let mut loaded = load_artifact(manifest.to_string().as_bytes(), Arc::new(blobs)).expect("the image is right");
    match loaded.files.remove("main") {
        Some(Files::Tree(tree)) => tree,
        _ => panic!("the app has files"),
    }
}

fn layer(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(bytes).as_str(), "size": bytes.len() })
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A file system in memory, where there is one: writing a tree waits for the disk.
fn memory_directory() -> &'static Path {
    let shared_memory = Path::new("/dev/shm");
    if shared_memory.is_dir() { shared_memory } else { Path::new("/tmp") }
}

/// Has written this, whatever the archive is.
struct Output<'a>(&'a [u8]);

impl Unpacker for Output<'_> {
    fn run(&self, _: &mut (dyn Read + Send), read: &mut dyn FnMut(&mut dyn Read)) -> io::Result<()> {
        read(&mut { self.0 });
        Ok(())
    }
}
