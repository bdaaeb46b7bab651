//! Names in the tar files of plain images that are too long for the header of their entry.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;
use spin_oci::Digest;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use crate::support::{directory, manifest, wasm};

/// The two formats: an entry that gives a name to the next one.
#[derive(Clone, Copy)]
enum Format {
    Gnu,
    Pax,
}

impl Format {
    const ALL: [Self; 2] = [Self::Gnu, Self::Pax];

    fn entry_type(self) -> EntryType {
        if let Self::Gnu = self { EntryType::GNULongName } else { EntryType::XHeader }
    }

    /// The content of the entry.
    fn content(self, name: &str) -> Vec<u8> {
        match self {
            Self::Gnu => format!("{name}\0").into_bytes(),
            Self::Pax => {
                let rest = format!(" path={name}\n");
                let digits = (1..).find(|digits| (digits + rest.len()).to_string().len() == *digits).unwrap();
                format!("{}{rest}", digits + rest.len()).into_bytes()
            }
        }
    }
}

fn header(kind: EntryType, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_path("short").unwrap();
    header.set_entry_type(kind);
    header.set_size(size as u64);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

/// A tar file of an app whose `main.wasm` has this name, and which has a further file.
fn layer(format: Format, main: &str, further: &str) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    let toml = manifest("").replace("main.wasm", main);
    for (name, bytes) in [("spin.toml", toml.as_bytes()), (main, &wasm(100)), (further, b"")] {
        let name = format.content(name);
        tar.append(&header(format.entry_type(), name.len()), name.as_slice()).unwrap();
        tar.append(&header(EntryType::Regular, bytes.len()), bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

/// The layout of a plain image with this layer.
fn layout(layer: &[u8]) -> TempDir {
    let layout = directory(&[("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)]);
    let blob = |kind: &str, bytes: &[u8]| {
        let digest = Digest::of(bytes);
        let path = layout.path().join("blobs/sha256").join(digest.hex());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest.as_str(), "size": bytes.len() })
    };
    let (config, layer) = (blob("config.v1+json", b"{}"), blob("layer.v1.tar", layer));
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [layer] }).to_string();
    let index = json!({ "schemaVersion": 2, "manifests": [blob("manifest.v1+json", manifest.as_bytes())] });
    fs::write(layout.path().join("index.json"), index.to_string()).unwrap();
    layout
}

fn inspect(layout: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_spin-oci")).arg("inspect").arg(layout).output().unwrap()
}

fn refused(layer: &[u8]) -> String {
    let output = inspect(layout(layer).path());
    assert_eq!(output.status.code(), Some(68));
    String::from_utf8(output.stderr).unwrap()
}

/// A path of so many bytes.
fn path(length: usize) -> String {
    format!("{}main.wasm", "directory/".repeat(500).get(..length - 9).unwrap())
}

#[test]
fn names_that_linux_can_have_are_read_in_either_format() {
    for format in Format::ALL {
        let output = inspect(layout(&layer(format, &path(4000), &path(4096))).path());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stdout).contains("main: "));
    }
}

#[test]
fn longer_names_are_refused_with_their_length() {
    for format in Format::ALL {
        let said = refused(&layer(format, "main.wasm", &path(4098)));
        assert!(said.contains("has 4098 bytes") || said.contains("has 4099 bytes"), "{said}");
    }
}

#[test]
fn a_name_that_claims_gigabytes_is_refused_before_it_is_read() {
    for format in Format::ALL {
        let said = refused(header(format.entry_type(), 3 << 30).as_bytes());
        assert!(said.contains("has 3221225472 bytes, but may have at most"), "{said}");
    }
}
