//! The option `tmpcopyup` of a tmpfs: it begins with what the image has at its place. libcontainer does not know it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use oci_spec::runtime::Spec;
use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid, chownat, fchmod, fchown, mkdirat, openat, openat2,
    readlinkat, statat, symlinkat,
};
use rustix::io::Errno;

/// The option's name.
const OPTION: &str = "tmpcopyup";

/// What is copied into one tmpfs.
#[derive(Debug)]
pub struct CopyUp {
    /// Where that is mounted.
    pub destination: PathBuf,
    source: OwnedFd,
}

impl CopyUp {
    /// What this spec asks for; takes the option out of it. `root` is the image as the container will have it, with nothing mounted in it yet.
    pub fn take_all(spec: &mut Spec, root: &Path) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for mount in spec.mounts_mut().iter_mut().flatten() {
            let options = mount.options().clone().unwrap_or_default();
            if !options.iter().any(|option| option == OPTION) {
                continue;
            }
            mount.set_options(Some(options.into_iter().filter(|option| option != OPTION).collect()));
            let destination = mount.destination().clone();
            let source = below(root, &destination).with_context(|| format!("opening {} of the image", destination.display()))?;
            all.extend(source.map(|source| Self { destination, source }));
        }
        Ok(all)
    }

    /// Copies it, in the container's mount namespace.
    pub fn run(&self) -> io::Result<()> {
        let target = rustix::fs::open(&self.destination, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        copy_directory(self.source.as_fd(), target.as_fd())
    }
}

/// A directory of the image, from which no link leads out; `None` where there is none.
fn below(root: &Path, path: &Path) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, flags, Mode::empty())?;
    match openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS) {
        Ok(directory) => Ok(Some(directory)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Files, directories and links, with their owners and rights; nothing else belongs into an image's directory of data.
fn copy_directory(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    for entry in Dir::read_from(source)? {
        let entry = entry?;
        let name = Path::new(OsStr::from_bytes(entry.file_name().to_bytes()));
        if name == Path::new(".") || name == Path::new("..") {
            continue;
        }
        let about = statat(source, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let open = |directory: BorrowedFd<'_>, flags| openat(directory, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, MODE);
        match FileType::from_raw_mode(about.st_mode) {
            FileType::Directory => {
                mkdirat(target, name, MODE)?;
                let (from, to) = (open(source, OFlags::DIRECTORY)?, open(target, OFlags::DIRECTORY)?);
                copy_directory(from.as_fd(), to.as_fd())?;
                keep_owner_and_rights(to.as_fd(), &about)?;
            }
            FileType::RegularFile => {
                let mut from = File::from(open(source, OFlags::RDONLY)?);
                let mut to = File::from(open(target, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?);
                io::copy(&mut from, &mut to)?;
                keep_owner_and_rights(to.as_fd(), &about)?;
            }
            FileType::Symlink => {
                symlinkat(readlinkat(source, name, Vec::new())?, target, name)?;
                let (user, group) = owner(&about);
                chownat(target, name, user, group, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Until a copy is whole.
const MODE: Mode = Mode::RWXU;

fn keep_owner_and_rights(file: BorrowedFd<'_>, about: &Stat) -> io::Result<()> {
    let (user, group) = owner(about);
    // In this order: a change of the owner takes away the right to run as another user.
    fchown(file, user, group)?;
    Ok(fchmod(file, Mode::from_raw_mode(about.st_mode))?)
}

fn owner(about: &Stat) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(about.st_uid)), Some(Gid::from_raw(about.st_gid)))
}
