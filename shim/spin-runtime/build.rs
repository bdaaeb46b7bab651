//! Hashes what decides the precompiled code besides the engine: this crate's sources and the versions of its dependencies.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{fs, io};

fn main() -> io::Result<()> {
    let mut files = BTreeSet::new();
    add_files(Path::new("src"), &mut files)?;
    // Not there where the crate is built outside its workspace.
    files.extend(Some(PathBuf::from("../../Cargo.lock")).filter(|file| file.exists()));
    let mut hash = DefaultHasher::new();
    for file in files {
        println!("cargo::rerun-if-changed={}", file.display());
        (&file, fs::read(&file)?).hash(&mut hash);
    }
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rustc-env=SPIN_RUNTIME_SOURCES={:016x}", hash.finish());
    Ok(())
}

fn add_files(dir: &Path, files: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            add_files(&path, files)?;
        } else {
            files.insert(path);
        }
    }
    Ok(())
}
