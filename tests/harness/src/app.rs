//! A Spin app made for one test: a manifest, a few files, packed as an image.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use sha2::{Digest, Sha256};

use crate::process::run;
use crate::{image, required_env};

/// An app's directory, as a developer has it, and the images made of it beside it; all is gone with the value.
#[derive(Debug)]
pub struct SpinApp {
    temporary: tempfile::TempDir,
    dir: PathBuf,
}

impl SpinApp {
    /// An app of this `spin.toml`, with no other file.
    pub fn new(manifest: &str) -> Self {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let dir = temporary.path().join("app");
        Self { temporary, dir }.file("spin.toml", manifest.as_bytes())
    }

    /// The usual: one HTTP component on every route, run from the guest of this name; `extra` is put into its table.
    pub fn http(guest: &str, extra: &str) -> Self {
        Self::new(&format!(
            "spin_manifest_version = 2\n[application]\nname = \"{guest}\"\nversion = \"1.0.0\"\n\
             [[trigger.http]]\nroute = \"/...\"\ncomponent = \"main\"\n\
             [component.main]\nsource = \"{guest}.wasm\"\n{extra}\n"
        ))
        .guest(guest)
    }

    /// With a file.
    pub fn file(self, path: &str, bytes: &[u8]) -> Self {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("the directory can be made");
        fs::write(path, bytes).expect("the file can be written");
        self
    }

    /// With one of the test guests as `NAME.wasm`.
    pub fn guest(self, name: &str) -> Self {
        self.file(&format!("{name}.wasm"), &wasm(name))
    }

    /// Without a file it had.
    pub fn without(self, path: &str) -> Self {
        fs::remove_file(self.dir.join(path)).expect("the file was there");
        self
    }

    /// Where it lies.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// As an OCI archive of a plain image (`FROM scratch`, everything copied as it is), named `name`.
    pub fn plain(&self, name: &str) -> PathBuf {
        let out = self.temporary.path().join("image.tar");
        image::from_scratch(self.dir(), name, &out);
        out
    }

    /// As an OCI archive of a Spin artifact, named `name`.
    pub fn artifact(&self, name: &str) -> PathBuf {
        let out = self.temporary.path().join("image.tar");
        let mut command = Command::new(required_env("SPIN_OCI"));
        run(command.arg("pack").arg(self.dir()).arg("--out").arg(&out).args(["--name", name]));
        out
    }
}

/// The wasm file of a test guest.
pub fn guest(name: &str) -> PathBuf {
    Path::new(&required_env("SPIN_TEST_COMPONENTS")).join(format!("{name}.wasm"))
}

/// Its bytes.
pub fn wasm(name: &str) -> Vec<u8> {
    fs::read(guest(name)).unwrap_or_else(|error| panic!("guest {name}: {error}"))
}

/// The SHA-256 of these bytes, in hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The files that the shim's cache on this node has for a test guest: their names begin with the digest of its bytes.
pub fn cached(name: &str) -> Vec<PathBuf> {
    cached_by_digest(&digest(&wasm(name)))
}

/// The same for any component, by the digest of its bytes.
pub fn cached_by_digest(digest: &str) -> Vec<PathBuf> {
    let files = fs::read_dir("/var/cache/containerd-shim-spin").expect("there is a cache").flatten();
    files.filter(|file| file.file_name().to_string_lossy().starts_with(digest)).map(|file| file.path()).collect()
}

/// The code of a test guest as `compile` makes it, once per process, in a file that is nowhere.
pub fn compiled(name: &str, compile: impl FnOnce(&[u8]) -> Vec<u8>) -> File {
    static COMPILED: Mutex<BTreeMap<String, File>> = Mutex::new(BTreeMap::new());
    let mut compiled = COMPILED.lock().expect("no test panics while it compiles");
    let file = compiled.entry(name.to_owned()).or_insert_with(|| {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(&compile(&wasm(name))).expect("the code can be written");
        file
    });
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).expect("an open file can be opened")
}
