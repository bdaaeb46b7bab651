//! What a container is: an ordinary program, or a Spin app and in which form.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use oci_spec::runtime::{Mount, Spec};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::native::DEFAULT_PATH;

/// Set by containerd's CRI plugin: `sandbox` is the pod's own, pause container.
const CONTAINER_TYPE: &str = "io.kubernetes.cri.container-type";

/// How often a path is looked up in a tree that changes all the time, such as a volume that another pod writes.
const MAX_LOOKUPS: u32 = 1000;

/// How a container is run, as far as its spec and its root file system tell.
#[derive(Debug)]
pub enum Kind {
    /// It is the pod's own.
    Sandbox,
    /// Its command is a program.
    Native,
    /// There is a spin.toml in this root file system.
    PlainSpin(OwnedFd),
    /// Neither: its image may be an artifact.
    Neither(Command),
}

/// A container's command, which can't be executed.
#[derive(Debug, Eq, PartialEq)]
pub struct Command {
    /// Its first word.
    pub name: String,
    /// Why, as runc has it.
    pub problem: &'static str,
}

/// Looks at the spec and the root file system.
pub fn classify(spec: &Spec, rootfs: &Path) -> Result<Kind> {
    let annotations = spec.annotations().as_ref();
    if annotations.and_then(|all| all.get(CONTAINER_TYPE)).is_some_and(|kind| kind == "sandbox") {
        return Ok(Kind::Sandbox);
    }
    let root = Root::open(rootfs)?;
    if root.find(Path::new("spin.toml")).is_some_and(|file| file.is_file()) {
        return Ok(Kind::PlainSpin(root.0));
    }
    let search = Search::of(spec);
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    let mut problem = if search.name.contains('/') { "no such file or directory" } else { "executable file not found in $PATH" };
    for path in search.candidates() {
        match look(&root, mounts, &path) {
            Found::Program => return Ok(Kind::Native),
            Found::Nothing => {}
            Found::Directory => problem = "is a directory",
            Found::NotExecutable => problem = "permission denied",
        }
    }
    Ok(Kind::Neither(Command { name: search.name, problem }))
}

/// The command and what decides where it is looked for.
struct Search {
    name: String,
    path: String,
    cwd: PathBuf,
}

impl Search {
    fn of(spec: &Spec) -> Self {
        let process = spec.process().as_ref();
        let name = process.and_then(|process| process.args().as_ref()?.first().cloned());
        let env = process.and_then(|process| process.env().as_deref()).unwrap_or_default();
        let path = env.iter().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
        let cwd = process.map(|process| process.cwd().clone()).unwrap_or_default();
        Self { name: name.unwrap_or_default(), path: path.to_owned(), cwd }
    }

    fn candidates(&self) -> Box<dyn Iterator<Item = PathBuf> + '_> {
        match &self.name {
            name if name.is_empty() => Box::new(std::iter::empty()),
            name if name.contains('/') => Box::new(std::iter::once(self.cwd.join(name))),
            name => Box::new(self.path.split(':').map(move |dir| Path::new(dir).join(name))),
        }
    }
}

/// What is at a path.
enum Found {
    Program,
    Directory,
    NotExecutable,
    Nothing,
}

/// Looks at a path inside the container, which may lie in a volume.
fn look(root: &Root, mounts: &[Mount], path: &Path) -> Found {
    let volume = mounts.iter().filter(|mount| is_bind(mount) && path.starts_with(mount.destination()));
    let found = match volume.max_by_key(|mount| mount.destination().components().count()) {
        None => root.find(path),
        Some(mount) => in_volume(mount, path),
    };
    match found {
        None => Found::Nothing,
        Some(meta) if meta.is_dir() => Found::Directory,
        Some(meta) if meta.permissions().mode() & 0o111 == 0 => Found::NotExecutable,
        Some(_) => Found::Program,
    }
}

fn in_volume(mount: &Mount, path: &Path) -> Option<std::fs::Metadata> {
    let source = mount.source().as_ref()?;
    let below = path.strip_prefix(mount.destination()).ok()?;
    if below.as_os_str().is_empty() { std::fs::metadata(source).ok() } else { Root::open(source).ok()?.find(below) }
}

/// Whether a mount shows a directory or a file of the node.
pub fn is_bind(mount: &Mount) -> bool {
    let options = mount.options().as_deref().unwrap_or_default();
    mount.typ().as_deref() == Some("bind") || options.iter().any(|option| option == "bind" || option == "rbind")
}

/// A directory that no path and no link in it leads out of.
struct Root(OwnedFd);

impl Root {
    fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty());
        Ok(Self(opened.with_context(|| format!("opening {}", path.display()))?))
    }

    fn find(&self, path: &Path) -> Option<std::fs::Metadata> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..MAX_LOOKUPS {
            match openat2(self.0.as_fd(), path, flags, Mode::empty(), resolve) {
                // The tree changed while it was walked.
                Err(Errno::AGAIN) => {}
                found => return File::from(found.ok()?).metadata().ok(),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::{MountBuilder, ProcessBuilder, SpecBuilder};
    use std::os::unix::fs::{OpenOptionsExt, symlink};

    fn spec(command: &[&str], mounts: Vec<Mount>) -> Spec {
        let args: Vec<String> = command.iter().map(|arg| (*arg).to_owned()).collect();
        let process = ProcessBuilder::default().args(args).env(vec!["PATH=/bin:/tools".to_owned()]).cwd("/").build();
        SpecBuilder::default().process(process.expect("a process")).mounts(mounts).build().expect("a spec")
    }

    fn put(path: &Path, mode: u32) {
        std::fs::create_dir_all(path.parent().expect("in a directory")).expect("made");
        std::fs::OpenOptions::new().write(true).create(true).mode(mode).open(path).expect("created");
    }

    #[test]
    fn an_image_with_a_spin_toml_is_a_spin_app_whatever_its_command() {
        let root = tempfile::tempdir().expect("a directory");
        put(&root.path().join("bin/sh"), 0o755);
        put(&root.path().join("spin.toml"), 0o644);
        for command in [&["/"][..], &["/bin/sh"], &[]] {
            assert!(matches!(classify(&spec(command, vec![]), root.path()), Ok(Kind::PlainSpin(_))), "{command:?}");
        }
    }

    #[test]
    fn a_command_that_can_be_executed_is_a_program() {
        let root = tempfile::tempdir().expect("a directory");
        put(&root.path().join("tools/run"), 0o755);
        symlink("/tools/run", root.path().join("link")).expect("linked");
        for command in ["run", "/tools/run", "tools/run", "/link"] {
            assert!(matches!(classify(&spec(&[command], vec![]), root.path()), Ok(Kind::Native)), "{command}");
        }
    }

    #[test]
    fn a_command_may_lie_in_a_volume() {
        let (root, volume) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        put(&volume.path().join("agent"), 0o755);
        let mount = MountBuilder::default().destination("/agent").typ("bind").source(volume.path()).build().expect("a mount");
        assert!(matches!(classify(&spec(&["/agent/agent"], vec![mount]), root.path()), Ok(Kind::Native)));
    }

    #[test]
    fn directories_plain_files_links_out_and_nothing_are_no_programs() {
        let root = tempfile::tempdir().expect("a directory");
        put(&root.path().join("bin/data"), 0o644);
        symlink("../../../../../../bin/sh", root.path().join("out")).expect("linked");
        let missing = "executable file not found in $PATH";
        let problems = [
            ("/", "is a directory"),
            ("/bin", "is a directory"),
            ("data", "permission denied"),
            ("/out", "no such file or directory"),
            ("missing", missing),
            ("", missing),
        ];
        for (name, problem) in problems {
            let kind = classify(&spec(&[name], vec![]), root.path()).expect("looked at");
            assert!(
                matches!(&kind, Kind::Neither(command) if (command.name.as_str(), command.problem) == (name, problem)),
                "{kind:?}"
            );
        }
    }
}
