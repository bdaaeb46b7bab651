//! A directory that an app's files are taken from, as a file descriptor.
//!
//! An image's root file system is not trusted: no link in it, absolute or not, leads out of it.

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags};

/// More entries than any app has; a tree with more is not walked to its end.
pub(crate) const MAX_ENTRIES: usize = 200_000;
/// Deeper than any app's files.
const MAX_DEPTH: usize = 64;
/// The kernel gives up on a path with `..` in it if anything is mounted or renamed meanwhile, anywhere: with thirty pods starting, it is.
const MAX_RACES: usize = 1000;

/// The root of an app's files.
#[derive(Clone)]
pub(crate) struct Root {
    directory: Arc<OwnedFd>,
    /// A developer's own tree is not confined: a source may well be `../target/…`.
    resolve: ResolveFlags,
}

impl Root {
    /// An image's root file system: nothing in it leads out of it.
    pub(crate) fn confined(directory: BorrowedFd<'_>) -> io::Result<Self> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(Self { directory: Arc::new(directory.try_clone_to_owned()?), resolve })
    }

    /// A developer's tree, read with a developer's rights.
    #[cfg(feature = "push")]
    pub(crate) fn trusted(directory: OwnedFd) -> Self {
        Self { directory: Arc::new(directory), resolve: ResolveFlags::NO_MAGICLINKS }
    }

    /// Opens a regular file; anything else, pipes and devices among it, is an error, and opening never waits.
    pub(crate) fn open_file(&self, path: &str) -> io::Result<File> {
        let file = self.open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
            FileType::RegularFile => Ok(file.into()),
            FileType::Directory => Err(io::ErrorKind::IsADirectory.into()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
        }
    }

    /// Opens a directory.
    pub(crate) fn open_directory(&self, path: &str) -> io::Result<OwnedFd> {
        self.open(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Whether a path is a directory; fails where there is nothing.
    pub(crate) fn is_directory(&self, path: &str) -> io::Result<bool> {
        let found = self.open(path, OFlags::PATH)?;
        Ok(FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) == FileType::Directory)
    }

    /// Every regular file below a directory, as paths from there in sorted order. Links to files count as files, links to directories
    /// are not followed.
    pub(crate) fn walk(&self, directory: &str) -> io::Result<Vec<String>> {
        let (mut files, mut entries) = (Vec::new(), 0);
        let mut pending = vec![(String::new(), 0)];
        while let Some((below, depth)) = pending.pop() {
            if depth > MAX_DEPTH {
                return Err(io::Error::other(format!("{below:?} is more than {MAX_DEPTH} directories deep")));
            }
            for entry in Dir::read_from(&self.open_directory(&join(directory, &below))?)? {
                let entry = entry?;
                let name = entry.file_name();
                if matches!(name.to_bytes(), b"." | b"..") {
                    continue;
                }
                entries += 1;
                if entries > MAX_ENTRIES {
                    return Err(io::Error::other(format!("more than {MAX_ENTRIES} files and directories")));
                }
                let Ok(name) = name.to_str() else {
                    return Err(io::Error::other(format!("the name {:?} is not UTF-8", name.to_string_lossy())));
                };
                let path = join(&below, name);
                match self.kind(entry.file_type(), &join(directory, &path)) {
                    FileType::Directory => pending.push((path, depth + 1)),
                    FileType::RegularFile => files.push(path),
                    _ => {}
                }
            }
        }
        files.sort();
        Ok(files)
    }

    /// A link counts as what it leads to if that is a file; a broken one, or one to a directory, as a link.
    fn kind(&self, found: FileType, path: &str) -> FileType {
        match found {
            FileType::Symlink if self.open_file(path).is_ok() => FileType::RegularFile,
            // Some file systems don't tell in their directories.
            FileType::Unknown => {
                let stat = self.open(path, OFlags::PATH | OFlags::NOFOLLOW).and_then(|found| Ok(rustix::fs::fstat(&found)?));
                stat.map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode))
            }
            kind => kind,
        }
    }

    fn open(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let path = if path.is_empty() { "." } else { path };
        for _ in 0..MAX_RACES {
            match rustix::fs::openat2(&self.directory, path, flags | OFlags::CLOEXEC, Mode::empty(), self.resolve) {
                Err(rustix::io::Errno::AGAIN) => continue,
                opened => return Ok(opened?),
            }
        }
        Err(rustix::io::Errno::AGAIN.into())
    }
}

/// Joins two relative paths, either of which may be empty.
pub(crate) fn join(base: &str, path: &str) -> String {
    match (base.is_empty(), path.is_empty()) {
        (true, _) => path.to_owned(),
        (_, true) => base.to_owned(),
        _ => format!("{}/{path}", base.trim_end_matches('/')),
    }
}
