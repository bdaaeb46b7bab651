//! Small files in the node's cache, found by what they are about. Any of them may be missing or torn: whoever reads one judges it, and can do without.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use spin_oci::Digest;
use spin_runtime::cache::{Bounds, unused};

/// The notes in one directory, which must be below one that nobody but this user can write.
pub struct Notes(PathBuf);

impl Notes {
    /// Those in this directory, which the first one makes.
    pub fn at(dir: PathBuf) -> Self {
        Self(dir)
    }

    /// The note about this, up to so many bytes of it.
    pub fn read(&self, about: &Digest, most: u64) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.path(about)).and_then(|note| note.take(most).read_to_end(&mut bytes)).ok()?;
        Some(bytes)
    }

    /// Writes the note about this. It is not synchronised to the disk: what a crash leaves of it is torn.
    pub fn write(&self, about: &Digest, bytes: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
        file.write_all(bytes)?;
        file.persist(self.path(about))?;
        Ok(())
    }

    /// Removes the notes that exceed the bounds.
    pub fn prune(&self, bounds: &Bounds) {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let notes = entries.filter_map(|entry| entry.metadata().ok().map(|about| (unused(&about), about.len(), 1, entry.path())));
        for note in bounds.exceeded_by(notes.collect()) {
            let _gone_already = fs::remove_file(note);
        }
    }

    fn path(&self, about: &Digest) -> PathBuf {
        self.0.join(about.hex())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::FileTimes;
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn what_was_noted_is_found_as_far_as_it_is_wanted() {
        let dir = tempfile::tempdir().expect("a directory");
        let (notes, about) = (Notes::at(dir.path().join("notes")), Digest::of(b"this"));
        assert_eq!(notes.read(&about, 10), None);
        notes.write(&about, b"noted").expect("written");
        assert_eq!(notes.read(&about, 10).as_deref(), Some(&b"noted"[..]));
        assert_eq!(notes.read(&about, 3).as_deref(), Some(&b"not"[..]));
        assert_eq!(notes.read(&Digest::of(b"that"), 10), None);
    }

    fn of_age(age: Duration) -> Bounds {
        Bounds { bytes: u64::MAX, files: u64::MAX, age }
    }

    #[test]
    fn old_notes_are_forgotten() {
        let dir = tempfile::tempdir().expect("a directory");
        let (notes, about) = (Notes::at(dir.path().to_owned()), Digest::of(b"this"));
        notes.write(&about, b"noted").expect("written");
        notes.prune(&of_age(Duration::from_secs(3600)));
        assert!(notes.read(&about, 10).is_some());
        notes.prune(&of_age(Duration::ZERO));
        assert_eq!(notes.read(&about, 10), None);
    }

    #[test]
    fn notes_that_are_read_are_not_old() {
        let dir = tempfile::tempdir().expect("a directory");
        let (notes, about) = (Notes::at(dir.path().to_owned()), Digest::of(b"this"));
        notes.write(&about, b"noted").expect("written");
        let (hour, now) = (Duration::from_secs(3600), SystemTime::now());
        let used = |accessed| {
            let file = File::open(notes.path(&about)).expect("the note");
            file.set_times(FileTimes::new().set_accessed(accessed).set_modified(now - 3 * hour)).expect("times");
            notes.prune(&of_age(2 * hour));
            notes.path(&about).exists()
        };
        assert!(used(now - hour), "written long ago, and used since");
        assert!(!used(now - 3 * hour));
    }
}
