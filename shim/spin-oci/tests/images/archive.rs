//! Archive layers, and what is put into them to do harm.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use spin_oci::{Digest, OciError, media};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use crate::support::{Artifact, materialise, read, wasm};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An archive of entries whose names are written as they are, however bad.
fn archive(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (name, kind, bytes) in entries {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    gzip(&tar.into_inner().unwrap())
}

/// An app that wants files by digest, out of these archives.
fn unpacked(archives: &[Vec<u8>], files: &[(&str, &[u8])]) -> Result<TempDir, OciError> {
    let files: Vec<Value> =
        files.iter().map(|(path, bytes)| json!({ "path": path, "digest": Digest::of(bytes).as_str() })).collect();
    let artifact = Artifact::default().layer(media::WASM, &wasm(1));
    let artifact = archives.iter().fold(artifact, |artifact, archive| artifact.layer(media::ARCHIVE, archive));
    materialise(&artifact.app(&wasm(1), json!(files)).load().unwrap())
}

fn refused(archive: Vec<u8>) -> String {
    let error = unpacked(&[archive], &[("a", b"1")]).unwrap_err();
    assert_eq!(error.exit_code(), 68);
    error.to_string()
}

const FILE: EntryType = EntryType::Regular;

#[test]
fn files_are_found_by_their_content_whatever_they_are_called() {
    let first = archive(&[("./", EntryType::Directory, b""), ("./one", FILE, b"1"), ("./unused", FILE, b"0")]);
    let second = archive(&[("x/two", FILE, b"2")]);
    let directory = unpacked(&[first, second], &[("a", b"1"), ("b/c", b"2"), ("again", b"1")]).unwrap();
    let contents = ["tree/a", "tree/b/c", "tree/again"].map(|path| read(directory.path(), path));
    assert_eq!(contents, ["1", "2", "1"]);
}

#[test]
fn a_file_that_no_archive_has_is_named() {
    let said = unpacked(&[archive(&[("one", FILE, b"1")])], &[("a", b"2")]).unwrap_err().to_string();
    assert_eq!(said, format!("file \"a\": no layer of the image has the content {}", Digest::of(b"2")));
}

#[test]
fn links_are_refused() {
    for kind in [EntryType::Symlink, EntryType::Link] {
        assert!(refused(archive(&[("a", kind, b"")])).ends_with("is refused: \"a\" is a link"));
    }
}

#[test]
fn names_that_lead_out_are_refused() {
    assert!(refused(archive(&[("../a", FILE, b"1")])).ends_with("is refused: \"../a\" leads out of the archive"));
    assert!(refused(archive(&[("b/../../a", FILE, b"1")])).ends_with("leads out of the archive"));
    assert!(refused(archive(&[("/etc/passwd", FILE, b"1")])).ends_with("\"/etc/passwd\" is absolute"));
}

#[test]
fn devices_and_pipes_are_refused() {
    for kind in [EntryType::Char, EntryType::Block, EntryType::Fifo, EntryType::GNUSparse] {
        assert!(refused(archive(&[("a", kind, b"")])).contains("neither a file nor a directory"));
    }
}

#[test]
fn what_is_cut_short_is_refused() {
    let whole = archive(&[("a", FILE, &[b'1'; 5000])]);
    refused(whole[..whole.len() / 2].to_vec());
    refused(gzip(b"not a tar file, but rather short"));
    refused(b"not even compressed".to_vec());
}

#[test]
fn a_file_that_claims_more_than_there_is_is_refused() {
    let mut header = Header::new_gnu();
    header.set_path("a").unwrap();
    header.set_size(u64::MAX >> 2);
    header.set_cksum();
    refused(gzip(header.as_bytes()));
}

#[test]
fn a_long_name_that_claims_gigabytes_is_not_read_into_memory() {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(3 << 30);
    header.set_cksum();
    let said = refused(gzip(header.as_bytes()));
    assert!(said.contains("the archive"), "{said}");
}

#[test]
fn more_entries_than_any_app_has_are_refused() {
    let entries = vec![("a", FILE, b"".as_slice()); 200_001];
    assert!(refused(archive(&entries)).ends_with("is beyond the 200000 entries allowed"));
}

#[test]
fn an_archive_that_is_not_what_its_digest_says_is_refused() {
    let (one, other) = (archive(&[("a", FILE, b"1")]), archive(&[("a", FILE, b"2")]));
    let files = json!([{ "path": "a", "digest": Digest::of(b"2").as_str() }]);
    let artifact = Artifact::default().layer(media::WASM, &wasm(1)).layer(media::ARCHIVE, &one).app(&wasm(1), files);
    let error = materialise(&artifact.replace(&one, &other).load().unwrap()).unwrap_err();
    assert!(matches!(error, OciError::Corrupt { .. }), "{error}");
}
