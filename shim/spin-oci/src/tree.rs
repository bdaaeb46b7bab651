//! The files of a component, assembled from wherever they are, and put into a directory once per node.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};

use crate::archive::{self, Unpacker};
use crate::blobs::{Descriptor, SharedBlobs};
use crate::digest::Hashing;
use crate::root::{MAX_ENTRIES, Root};
use crate::{Digest, OciError};

/// All files of a component together, in bytes.
pub const MAX_TREE_BYTES: u64 = 4 << 30;
/// The beginning of the name of a directory in which a tree is being made. It is locked as long as that lasts.
pub const STAGING_PREFIX: &str = ".tree-";
/// What the kernel allows a path and a name in it to be, in bytes.
const MAX_PATH: usize = 4095;
const MAX_NAME: usize = 255;

/// The files a component sees.
pub enum Files {
    /// None.
    None,
    /// One existing directory, whole, as the guest's `/`.
    Directory(OwnedFd),
    /// An assembled tree, to be materialised.
    Tree(FileTree),
}

/// Files by path, each known by its digest; nothing is copied before `materialise`.
#[derive(Clone, Default)]
pub struct FileTree {
    files: BTreeMap<String, TreeFile>,
    archives: Vec<Descriptor>,
    blobs: Option<SharedBlobs>,
}

#[derive(Clone)]
struct TreeFile {
    digest: Digest,
    source: Source,
}

#[derive(Clone)]
pub(crate) enum Source {
    Bytes(Arc<[u8]>),
    File(Root, String),
    Blob(Descriptor),
    /// In one of the tree's archives: which one, only reading them tells.
    Archived,
}

impl FileTree {
    pub(crate) fn of_blobs(blobs: SharedBlobs, archives: Vec<Descriptor>) -> Self {
        Self { files: BTreeMap::new(), archives, blobs: Some(blobs) }
    }

    /// Adds a file, or replaces the one at that path: of two mounts of one path, Spin shows the later.
    pub(crate) fn insert(&mut self, component: &str, path: &str, digest: Digest, source: Source) -> Result<(), OciError> {
        check_path(component, path)?;
        self.files.insert(path.to_owned(), TreeFile { digest, source });
        match self.files.len() > MAX_ENTRIES {
            true => Err(OciError::TooLarge {
                what: format!("the list of files of component {component:?}"),
                limit: MAX_ENTRIES as u64,
            }),
            false => Ok(()),
        }
    }

    /// Whether there is no file in it.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The paths, relative to the guest's root, and the digests, sorted.
    pub fn files(&self) -> impl Iterator<Item = (&str, &Digest)> {
        self.files.iter().map(|(path, file)| (path.as_str(), &file.digest))
    }

    /// With where each comes from.
    #[cfg(feature = "push")]
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&str, &Digest, &Source)> {
        self.files.iter().map(|(path, file)| (path.as_str(), &file.digest, &file.source))
    }

    /// Names the tree by its content: the same key, the same files. Usable as a file name.
    pub fn key(&self) -> String {
        // Paths hold no NUL, so that no two lists make one text.
        let list: String = self.files().map(|(path, digest)| format!("{path}\0{digest}\0")).collect();
        Digest::of(list.as_bytes()).hex().to_owned()
    }

    /// Makes the directory `into` hold the tree, unless it exists. It appears whole or not at all, however many pods do the same at once. Archives are
    /// unpacked by `unpacker`. The files may take `room` bytes, and those of one component never more than [`MAX_TREE_BYTES`]; returns what they take,
    /// and none where they are there already.
    pub fn materialise(&self, into: &Path, unpacker: &dyn Unpacker, room: u64) -> Result<u64, OciError> {
        if into.exists() {
            return Ok(0);
        }
        let parent = into.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(|error| OciError::file(parent, error))?;
        let staging =
            tempfile::Builder::new().prefix(STAGING_PREFIX).tempdir_in(parent).map_err(|error| OciError::file(parent, error))?;
        // As long as it is open and locked, the directory is in use: what a killed process left can be told from it.
        let lock = File::open(staging.path()).and_then(|file| Ok(flock(&file, FlockOperation::LockShared).map(|()| file)?));
        let _lock = lock.map_err(|error| OciError::file(staging.path(), error))?;
        let tree = staging.path().join("tree");
        make_directory(&tree)?;
        let size = self.fill(&tree, unpacker, room)?;
        // Once per node and tree: after a crash a renamed, but empty tree would stay for ever.
        let synced = File::open(&tree).and_then(|directory| Ok(rustix::fs::syncfs(directory)?));
        synced.map_err(|error| OciError::file(&tree, error))?;
        match fs::rename(&tree, into) {
            Err(_) if into.exists() => Ok(0),
            renamed => renamed.map(|()| size).map_err(|error| OciError::file(into, error)),
        }
    }

    /// Returns the bytes of all files.
    fn fill(&self, tree: &Path, unpacker: &dyn Unpacker, room: u64) -> Result<u64, OciError> {
        let mut budget = Budget::new(room);
        let mut archived: HashMap<&Digest, Vec<&str>> = HashMap::new();
        for (path, file) in &self.files {
            make_parents(tree, path)?;
            let create = || Target::create(tree.join(path));
            let (digest, size) = match &file.source {
                Source::Bytes(bytes) => create()?.fill(&mut bytes.as_ref(), &budget, |error| OciError::file(path, error))?,
                Source::File(root, source) => {
                    let failed = |error| OciError::file(source, error);
                    create()?.fill(&mut root.open_file(source).map_err(failed)?, &budget, failed)?
                }
                Source::Blob(descriptor) => {
                    create()?.fill(&mut descriptor.open(self.blobs()?)?, &budget, |error| descriptor.unreadable(error))?
                }
                Source::Archived => {
                    archived.entry(&file.digest).or_default().push(path);
                    continue;
                }
            };
            check(path, &file.digest, &digest)?;
            budget.left -= size;
        }
        self.unpack(tree, unpacker, archived, &mut budget)?;
        Ok(budget.limit - budget.left)
    }

    /// Reads the archives until every file that is still missing was found.
    fn unpack(
        &self,
        tree: &Path,
        unpacker: &dyn Unpacker,
        mut wanted: HashMap<&Digest, Vec<&str>>,
        budget: &mut Budget,
    ) -> Result<(), OciError> {
        // Which file an entry is shows only at its end.
        let mut scratch = Target::create(tree.with_extension("entry"))?;
        for descriptor in &self.archives {
            if wanted.is_empty() {
                return Ok(());
            }
            archive::read(descriptor, self.blobs()?, unpacker, &mut |entry| {
                let (digest, _) = scratch.fill(entry, budget, |error| archive::unreadable(descriptor, error))?;
                for path in wanted.remove(&digest).into_iter().flatten() {
                    let mut target = Target::create(tree.join(path))?;
                    budget.left -= target.fill(scratch.rewound()?, budget, |error| OciError::file(path, error))?.1;
                }
                Ok(())
            })?;
        }
        match wanted.iter().next() {
            Some((digest, paths)) => {
                Err(OciError::MissingLayer { place: format!("file {:?}", paths[0]), digest: digest.to_string() })
            }
            None => Ok(()),
        }
    }

    fn blobs(&self) -> Result<&(dyn crate::Blobs + Send + Sync), OciError> {
        self.blobs.as_deref().ok_or(OciError::NotAnApp)
    }
}

/// Bytes that a tree may take.
struct Budget {
    limit: u64,
    left: u64,
}

impl Budget {
    fn new(room: u64) -> Self {
        let limit = room.min(MAX_TREE_BYTES);
        Self { limit, left: limit }
    }

    fn exceeded(&self) -> OciError {
        match self.limit {
            MAX_TREE_BYTES => OciError::TooLarge { what: "the files of a component".to_owned(), limit: MAX_TREE_BYTES },
            room => OciError::NoRoom { room },
        }
    }
}

/// A path of a guest's file: relative, and straight down.
fn check_path(component: &str, path: &str) -> Result<(), OciError> {
    let refuse = |reason| Err(OciError::Path { place: format!("component {component:?}"), path: path.to_owned(), reason });
    match path {
        "" => return refuse("it is empty"),
        _ if path.len() > MAX_PATH => return refuse("it is too long"),
        _ if path.contains('\0') => return refuse("it contains a NUL byte"),
        _ if path.starts_with('/') => return refuse("it is absolute"),
        _ => {}
    }
    for name in path.split('/') {
        match name {
            "" | "." | ".." => return refuse("`.`, `..` and empty names are not allowed"),
            _ if name.len() > MAX_NAME => return refuse("a name in it is too long"),
            _ => {}
        }
    }
    Ok(())
}

fn check(path: &str, expected: &Digest, found: &Digest) -> Result<(), OciError> {
    match expected == found {
        true => Ok(()),
        false => Err(OciError::Corrupt { what: path.to_owned(), expected: expected.to_string(), found: found.to_string() }),
    }
}

/// A new file that everybody may read, as the container's user may be anybody.
struct Target {
    file: File,
    path: PathBuf,
}

impl Target {
    fn create(path: PathBuf) -> Result<Self, OciError> {
        let created = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let created = created.and_then(|file| file.set_permissions(Permissions::from_mode(0o444)).map(|()| file));
        match created {
            Ok(file) => Ok(Self { file, path }),
            Err(error) => Err(OciError::file(path, error)),
        }
    }

    /// Writes all that a reader has, no further than the budget, in the place of what is in the file.
    fn fill(
        &mut self,
        from: &mut dyn Read,
        budget: &Budget,
        unreadable: impl Fn(io::Error) -> OciError,
    ) -> Result<(Digest, u64), OciError> {
        let failed = |error| OciError::file(&self.path, error);
        let mut file = &self.file;
        file.rewind().and_then(|()| file.set_len(0)).map_err(failed)?;
        let (mut writer, mut buffer) = (Hashing::new(file), vec![0; 64 << 10]);
        loop {
            let read = match from.read(&mut buffer) {
                Ok(0) => return Ok(writer.finish()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreadable(error)),
            };
            writer.write_all(&buffer[..read]).map_err(failed)?;
            if writer.size() > budget.left {
                return Err(budget.exceeded());
            }
        }
    }

    /// What was written, to be read.
    fn rewound(&mut self) -> Result<&mut File, OciError> {
        match self.file.rewind() {
            Ok(()) => Ok(&mut self.file),
            Err(error) => Err(OciError::file(&self.path, error)),
        }
    }
}

fn make_parents(tree: &Path, path: &str) -> Result<(), OciError> {
    let mut directory = PathBuf::from(tree);
    let Some((parents, _)) = path.rsplit_once('/') else { return Ok(()) };
    for name in parents.split('/') {
        directory.push(name);
        if !directory.is_dir() {
            make_directory(&directory)?;
        }
    }
    Ok(())
}

fn make_directory(path: &Path) -> Result<(), OciError> {
    let made = fs::create_dir(path).and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o755)));
    made.map_err(|error| OciError::file(path, error))
}
