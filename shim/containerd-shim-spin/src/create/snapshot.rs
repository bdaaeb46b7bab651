//! Digests of the files in image snapshots, remembered on the node: hashing a large component would take longer than all the rest of its start.
//!
//! A file is known again by the layers that its root file system is made of, its inode, its size and the times of its last changes, of which nobody
//! can set the one of its status. That is certain where the kernel itself keeps these on a file system it writes: another may hold what its
//! maker put there, or make it up.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

use rustix::fs::statfs;
use spin_oci::{Digest, KnownDigests};

use super::notes::Notes;
use crate::bundle::Mount;

/// The numbers (linux/magic.h) of ext2 to ext4, xfs, btrfs, f2fs, tmpfs, zfs.
const WRITTEN_BY_THE_KERNEL: [u64; 6] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994, 0x2fc1_2fc1];
/// Of a digest as text.
const LENGTH: u64 = 71;

/// The files of one root file system, and where their digests are remembered.
pub struct Snapshot {
    notes: Notes,
    /// The directories of the image's layers; none where nothing about their files is certain.
    layers: Option<String>,
}

impl Snapshot {
    /// Of the root file system that these mounts make.
    pub fn new(notes: Notes, mounts: &[Mount]) -> Self {
        let certain = |layers: &Layers| layers.all().all(is_written_by_the_kernel);
        Self { notes, layers: layers(mounts).filter(certain).map(|layers| layers.image) }
    }

    /// What the note of this file's digest is about.
    fn identity(&self, file: &File) -> Option<Digest> {
        let (layers, meta) = (self.layers.as_ref()?, file.metadata().ok()?);
        let changed = [meta.ctime(), meta.ctime_nsec(), meta.mtime(), meta.mtime_nsec()];
        Some(Digest::of(format!("{layers}\n{} {} {changed:?}", meta.ino(), meta.size()).as_bytes()))
    }

    fn noted(&self, identity: &Digest) -> Option<Digest> {
        // What a crash left of a note is no digest.
        Digest::parse(std::str::from_utf8(&self.notes.read(identity, LENGTH)?).ok()?).ok()
    }
}

impl KnownDigests for Snapshot {
    fn digest(&self, file: &File, compute: &mut dyn FnMut() -> io::Result<Digest>) -> io::Result<Digest> {
        let Some(identity) = self.identity(file) else { return compute() };
        if let Some(known) = self.noted(&identity) {
            return Ok(known);
        }
        let digest = compute()?;
        // Of a file that changed while it was read, nothing is known.
        if self.identity(file).as_ref() == Some(&identity) {
            let _computed_again_next_time = self.notes.write(&identity, digest.as_str().as_bytes());
        }
        Ok(digest)
    }
}

/// The directories whose files a root file system shows.
#[derive(Debug, PartialEq)]
struct Layers {
    /// Of the image, which all its containers share, separated by colons.
    image: String,
    /// The container's own.
    own: Option<String>,
}

impl Layers {
    fn all(&self) -> impl Iterator<Item = &str> {
        self.image.split(':').chain(self.own.as_deref())
    }
}

/// None for kinds of mounts that don't say.
fn layers(mounts: &[Mount]) -> Option<Layers> {
    let [mount] = mounts else { return None };
    let option =
        |name: &str| mount.options.iter().find_map(|option| option.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned);
    match mount.kind.as_str() {
        "bind" => Some(Layers { image: mount.source.clone(), own: None }),
        "overlay" => Some(Layers { image: option("lowerdir")?, own: option("upperdir") }),
        _ => None,
    }
}

fn is_written_by_the_kernel(dir: &str) -> bool {
    // A path with a colon of its own was cut in two here, of which neither is there.
    statfs(dir).is_ok_and(|found| WRITTEN_BY_THE_KERNEL.contains(&(found.f_type.cast_unsigned() & 0xffff_ffff)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn bound(layer: &Path) -> Mount {
        Mount { kind: "bind".into(), source: layer.display().to_string(), options: Vec::new() }
    }

    /// A directory with a layer, in which there is a file.
    fn layer() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("fs")).expect("made");
        let file = dir.path().join("fs/app.wasm");
        fs::write(&file, "one").expect("written");
        (dir, file)
    }

    /// Whether the digest of the file is known there; if not, it is from now on.
    fn knows(dir: &Path, layer: &Path, file: &Path) -> bool {
        let mut known = true;
        let snapshot = Snapshot::new(Notes::at(dir.join("seen")), &[bound(layer)]);
        let digest = snapshot.digest(&File::open(file).expect("opened"), &mut || {
            known = false;
            Ok(Digest::of(b"one"))
        });
        assert_eq!(digest.expect("computed or known"), Digest::of(b"one"));
        known
    }

    #[test]
    fn a_digest_is_known_until_the_file_changes() {
        let (dir, file) = layer();
        let known = || knows(dir.path(), &dir.path().join("fs"), &file);
        assert!(!known() && known());
        let before = fs::metadata(&file).and_then(|meta| meta.modified()).expect("kept");
        fs::write(&file, "two").expect("written");
        let set_back = fs::FileTimes::new().set_modified(before);
        File::options().write(true).open(&file).and_then(|file| file.set_times(set_back)).expect("set back");
        assert!(!known(), "the time that can't be set was changed");
    }

    #[test]
    fn the_same_file_by_way_of_other_layers_is_another() {
        let (dir, file) = layer();
        assert!(!knows(dir.path(), &dir.path().join("fs"), &file));
        assert!(!knows(dir.path(), dir.path(), &file));
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_not_known() {
        let (dir, file) = layer();
        let snapshot = Snapshot::new(Notes::at(dir.path().join("seen")), &[bound(&dir.path().join("fs"))]);
        let changing = &mut || {
            fs::write(&file, "three")?;
            Ok(Digest::of(b"one"))
        };
        snapshot.digest(&File::open(&file).expect("opened"), changing).expect("computed");
        assert!(!knows(dir.path(), &dir.path().join("fs"), &file));
    }

    #[test]
    fn nothing_is_certain_where_the_file_system_makes_up_its_files() {
        let (dir, _) = layer();
        let known = || knows(dir.path(), Path::new("/proc"), Path::new("/proc/version"));
        assert!(!known() && !known());
    }

    #[test]
    fn a_torn_note_is_no_digest() {
        let (dir, file) = layer();
        let known = || knows(dir.path(), &dir.path().join("fs"), &file);
        assert!(!known());
        let note = fs::read_dir(dir.path().join("seen")).expect("made").next().expect("one").expect("read").path();
        fs::write(note, "sha256:12").expect("written");
        assert!(!known());
    }

    #[test]
    fn the_containers_of_an_image_have_its_layers_in_common() {
        let options = ["index=off", "upperdir=/u/fs", "workdir=/u/work", "lowerdir=/b/fs:/a/fs"].map(str::to_owned).to_vec();
        let overlay = Mount { kind: "overlay".into(), source: "overlay".into(), options };
        let layers = layers(&[overlay]).expect("it says which");
        assert_eq!(layers.image, "/b/fs:/a/fs");
        assert_eq!(layers.all().collect::<Vec<_>>(), ["/b/fs", "/a/fs", "/u/fs"]);
    }

    #[test]
    fn a_mount_that_does_not_say_what_it_is_made_of_has_no_layers() {
        assert_eq!(layers(&[Mount { kind: "erofs".into(), ..Mount::default() }]), None);
    }
}
