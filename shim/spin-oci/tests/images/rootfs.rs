//! Plain images.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;

use spin_oci::{Files, LoadedApp, OciError, load_rootfs};

use crate::support::{app, directory, manifest, materialise, paths, read, wasm};

fn load(root: &Path) -> Result<LoadedApp, OciError> {
    load_rootfs(fs::File::open(root).unwrap().as_fd(), &(), &[])
}

fn load_with(root: &Path, volumes: &[&str]) -> Result<LoadedApp, OciError> {
    let volumes: Vec<String> = volumes.iter().map(|&path| path.to_owned()).collect();
    load_rootfs(fs::File::open(root).unwrap().as_fd(), &(), &volumes)
}

fn refused(root: &Path) -> (String, i32) {
    let error = load(root).err().expect("it is refused");
    (error.to_string(), error.exit_code())
}

#[test]
fn the_wasm_is_read_and_known_by_its_digest() {
    let image = app("", &[]);
    let loaded = load(image.path()).unwrap();
    assert_eq!(loaded.components["main"].read().unwrap(), wasm(100));
    assert_eq!(loaded.components["main"].digest, spin_oci::Digest::of(&wasm(100)));
    assert!(matches!(loaded.files["main"], Files::None));
}

#[test]
fn a_whole_directory_is_not_copied() {
    let image = app("files = [{ source = \"static\", destination = \"/\" }]", &[("static/a", b"1")]);
    assert!(matches!(load(image.path()).unwrap().files["main"], Files::Directory(_)));
}

#[test]
fn volume_that_an_entry_names_is_not_looked_for_in_the_image() {
    let files = "files = [\"a\", { source = \"mount\", destination = \"/m\" }]";
    for image in [app(files, &[("a", b"1")]), app(files, &[("a", b"1"), ("mount/b", b"2")])] {
        let loaded = load_with(image.path(), &["/mount", "/other"]).unwrap();
        let [seen] = &loaded.volumes["main"][..] else { panic!("{:?}", loaded.volumes) };
        assert_eq!((seen.volume.as_str(), seen.guest.as_str(), paths(&loaded)), ("mount", "m", vec!["a".to_owned()]));
    }
}

#[test]
fn volume_and_files_of_the_image_have_not_the_same_place() {
    let image = app("files = [\"a\", { source = \"mount\", destination = \"/\" }]", &[("a", b"1")]);
    let error = load_with(image.path(), &["/mount"]).err().expect("refused");
    assert!(error.to_string().contains("can't be seen at the same place"), "{error}");
    assert_eq!(error.exit_code(), 64);
}

#[test]
fn a_directory_seen_elsewhere_is_a_tree() {
    let image = app("files = [{ source = \"static\", destination = \"/deep/er\" }]", &[("static/b/a", b"1")]);
    let loaded = load(image.path()).unwrap();
    assert_eq!(read(materialise(&loaded).unwrap().path(), "tree/deep/er/b/a"), "1");
}

#[test]
fn globs_keep_their_paths_and_stay_in_their_directory() {
    let files: &[(&str, &[u8])] = &[("assets/a.txt", b"a"), ("assets/b/c.txt", b"c"), ("assets/.d", b"d"), ("other", b"o")];
    let every = load(app("files = [\"assets/**/*\"]", files).path()).unwrap();
    assert_eq!(paths(&every), ["assets/.d", "assets/a.txt", "assets/b/c.txt"]);
    let shallow = load(app("files = [\"./assets/*\"]", files).path()).unwrap();
    assert_eq!(paths(&shallow), ["assets/.d", "assets/a.txt"]);
    let one = load(app("files = [\"assets/b/c.txt\"]", files).path()).unwrap();
    assert_eq!(paths(&one), ["assets/b/c.txt"]);
    let directory = load(app("files = [\"assets/b\"]", files).path()).unwrap();
    assert_eq!(paths(&directory), ["assets/b/c.txt"]);
}

#[test]
fn exclusions_count_for_directories_and_globs() {
    let files: &[(&str, &[u8])] = &[("assets/a.txt", b"a"), ("assets/b/c.txt", b"c"), ("assets/d.png", b"d")];
    let image = app("files = [\"assets/**/*\", \"assets/a.txt\"]\nexclude_files = [\"assets/*.txt\"]", files);
    assert_eq!(paths(&load(image.path()).unwrap()), ["assets/a.txt", "assets/d.png"]);
    let image = app("files = [{ source = \"assets\", destination = \"/\" }]\nexclude_files = [\"**/*.txt\"]", files);
    assert_eq!(paths(&load(image.path()).unwrap()), ["d.png"]);
}

#[test]
fn of_two_files_at_one_path_the_later_counts() {
    let component = "files = [\"a\", { source = \"b\", destination = \"/a\" }]";
    let image = app(component, &[("a", b"first"), ("b", b"second")]);
    assert_eq!(read(materialise(&load(image.path()).unwrap()).unwrap().path(), "tree/a"), "second");
}

#[test]
fn the_same_files_have_the_same_key_and_others_another() {
    let key = |bytes: &[u8]| {
        let image = app("files = [\"a/*\"]", &[("a/b", bytes)]);
        crate::support::tree(&load(image.path()).unwrap()).key()
    };
    assert!(key(b"1") == key(b"1") && key(b"1") != key(b"2"));
}

#[test]
fn links_do_not_lead_out_of_the_image() {
    let secret = directory(&[("secret", b"of the node")]);
    let image = app("files = [\"files/*\"]", &[("files/ok", b"1"), ("secret", b"of the image")]);
    symlink(secret.path().join("secret"), image.path().join("files/absolute")).unwrap();
    symlink("../../../../../../../../../../../../etc/passwd", image.path().join("files/relative")).unwrap();
    symlink("/secret", image.path().join("files/rooted")).unwrap();
    let loaded = load(image.path()).unwrap();
    assert_eq!(paths(&loaded), ["files/ok", "files/rooted"]);
    assert_eq!(read(materialise(&loaded).unwrap().path(), "tree/files/rooted"), "of the image");
}

#[test]
fn a_manifest_or_wasm_that_is_a_link_out_is_not_there() {
    let outside = app("", &[]);
    let image = tempfile::tempdir().unwrap();
    symlink(outside.path().join("spin.toml"), image.path().join("spin.toml")).unwrap();
    assert_eq!(refused(image.path()), ("the image has no /spin.toml".to_owned(), 64));
}

#[test]
fn links_to_directories_are_not_followed_in_a_circle() {
    let image = app("files = [\"files/**/*\"]", &[("files/a", b"1")]);
    symlink(".", image.path().join("files/again")).unwrap();
    assert_eq!(paths(&load(image.path()).unwrap()), ["files/a"]);
}

#[test]
fn pipes_are_refused_without_waiting_for_a_writer() {
    let image = app("", &[]);
    fs::remove_file(image.path().join("main.wasm")).unwrap();
    let pipe = image.path().join("main.wasm");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    assert_eq!(
        refused(image.path()),
        ("component \"main\": can't read its wasm \"main.wasm\": not a regular file".to_owned(), 65)
    );
}

#[test]
fn what_is_missing_is_named() {
    let (said, code) = refused(directory(&[("spin.toml", manifest("").as_bytes())]).path());
    assert!(said.contains("\"main\"") && said.contains("main.wasm") && said.contains("No such file"), "{said}");
    assert_eq!(code, 65);
    let (said, code) = refused(app("files = [\"nothing\"]", &[]).path());
    assert_eq!(said, "component \"main\": files entry \"nothing\": there is no such file or directory");
    assert_eq!(code, 64);
}

#[test]
fn what_is_not_wasm_is_named() {
    let image = app("", &[("main.wasm", b"#!/bin/sh")]);
    let error = load(image.path()).unwrap().components["main"].read().unwrap_err();
    assert_eq!((error.to_string().as_str(), error.exit_code()), ("component \"main\": \"main.wasm\" is not a wasm file", 65));
}

#[test]
fn patterns_that_lead_out_are_refused() {
    for pattern in ["../x", "/etc/*", ".", "a/../../b"] {
        let (said, code) = refused(app(&format!("files = [\"{pattern}\"]"), &[]).path());
        assert!(said.starts_with(&format!("component \"main\": files entry \"{pattern}\": ")), "{said}");
        assert_eq!(code, 64);
    }
}

#[test]
fn destinations_that_lead_out_are_refused() {
    let image = app("files = [{ source = \"a\", destination = \"/../../b\" }]", &[("a", b"1")]);
    let (said, code) = refused(image.path());
    assert!(said.contains("\"../../b\" is not a path inside the app"), "{said}");
    assert_eq!(code, 64);
}

#[test]
fn a_manifest_without_bound_is_not_read() {
    let image = directory(&[("spin.toml", &[b'#'; (1 << 20) + 1])]);
    assert!(refused(image.path()).0.contains("more than the 1048576 bytes allowed"));
}

#[test]
fn a_manifest_that_is_not_text_names_the_line() {
    let image = directory(&[("spin.toml", b"a = 1\nb = \"\xff\"\n")]);
    assert!(refused(image.path()).0.starts_with("spin.toml, line 2"));
}

#[test]
fn a_file_changed_after_it_was_hashed_is_noticed() {
    let image = app("files = [\"a\"]", &[("a", b"before")]);
    let loaded = load(image.path()).unwrap();
    fs::write(image.path().join("a"), "after").unwrap();
    fs::write(image.path().join("main.wasm"), wasm(99)).unwrap();
    assert!(matches!(materialise(&loaded), Err(OciError::Corrupt { .. })));
    assert!(loaded.components["main"].read().is_err());
}
