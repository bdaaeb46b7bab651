//! Archive layers: a tar file, compressed, of static files.
//!
//! `spin registry push` makes them where an app has more files than a registry allows layers, or where `SPIN_OCI_ARCHIVE_LAYERS` is set.
//! The locked app lists each file with the digest of its own content and knows nothing of archives; Spin unpacks every archive and files
//! what it finds by digest. So the names in an archive mean nothing to us, but one that tries to escape has a reason to, and is refused.

//!
//! A fault in the code that reads such a file must not be one of a privileged process. So that code ([`unpack`]) makes a stream of frames of the
//! archive, which is simple to read, and runs wherever an [`Unpacker`] has it run.

mod frames;

use std::io::{self, Read, Write};
use std::path::Component;

use flate2::read::MultiGzDecoder;
use tar::{Archive, EntryType};

use crate::blobs::Descriptor;
use crate::root::MAX_ENTRIES;
use crate::{Blobs, OciError};
use frames::{FrameWriter, read_frames};

/// The largest archive as stored, in bytes.
const MAX_PACKED_BYTES: u64 = 2 << 30;
/// All that may come out of one archive, headers and padding included: a bomb ends here.
const MAX_UNPACKED_BYTES: u64 = 4 << 30;

/// Runs [`unpack`].
pub trait Unpacker {
    /// Runs it on the archive, and has `read` read its output.
    fn run(&self, archive: &mut (dyn Read + Send), read: &mut dyn FnMut(&mut dyn Read)) -> io::Result<()>;
}

/// Unpacks in this process: for a developer's own archives.
pub struct InThisProcess;

impl Unpacker for InThisProcess {
    fn run(&self, archive: &mut (dyn Read + Send), read: &mut dyn FnMut(&mut dyn Read)) -> io::Result<()> {
        let (mut frames, output) = io::pipe()?;
        std::thread::scope(|scope| {
            scope.spawn(move || unpack(archive, output));
            read(&mut frames);
            // Ends a thread that has more to write.
            drop(frames);
        });
        Ok(())
    }
}

/// Writes what is in an archive, or why it is refused, as a stream that [`FileTree::materialise`](crate::FileTree::materialise) reads. Fails only
/// where the stream can't be written.
pub fn unpack(archive: impl Read, output: impl Write) -> io::Result<()> {
    let mut frames = FrameWriter::new(output);
    match write_entries(archive, MAX_UNPACKED_BYTES, &mut frames) {
        Ok(()) => frames.end(),
        Err(Stopped::Refused { entry, reason }) => frames.refuse(&entry, &reason),
        Err(Stopped::Output(error)) => Err(error),
    }
}

/// Why not all of an archive was written.
enum Stopped {
    Refused { entry: String, reason: String },
    Output(io::Error),
}

/// Reads an archive from its layer, giving each regular file to `file`, and checks the layer's digest at the end: what came out before is
/// not to be believed until this returns (files are found by their own digest, so nothing false was taken).
pub(crate) fn read(
    descriptor: &Descriptor,
    blobs: &(dyn Blobs + Send + Sync),
    unpacker: &dyn Unpacker,
    file: &mut dyn FnMut(&mut dyn Read) -> Result<(), OciError>,
) -> Result<(), OciError> {
    if descriptor.size > MAX_PACKED_BYTES {
        return Err(OciError::TooLarge { what: descriptor.digest.to_string(), limit: MAX_PACKED_BYTES });
    }
    let mut blob = descriptor.open(blobs)?;
    let mut entries = Ok(());
    let ran = unpacker.run(&mut blob, &mut |frames| entries = read_frames(frames, descriptor, file));
    // A wrong digest explains whatever else went wrong.
    blob.verify(descriptor)?;
    // A process that was ended explains a stream that ends too early.
    ran.map_err(|error| unreadable(descriptor, error))?;
    entries
}

fn write_entries(archive: impl Read, limit: u64, frames: &mut FrameWriter<impl Write>) -> Result<(), Stopped> {
    let refuse = |entry: &str, reason: String| Stopped::Refused { entry: entry.to_owned(), reason };
    let mut archive = Archive::new(Limited { inner: MultiGzDecoder::new(archive), left: limit });
    // `raw`: an extension header is an entry of its own then, so that none is read into memory at the size it claims.
    let entries = archive.entries().map_err(|error| refuse("", error.to_string()))?.raw(true);
    let mut buffer = vec![0; 64 << 10];
    for (count, entry) in entries.enumerate() {
        let mut entry = entry.map_err(|error| refuse("", format!("can't be read: {error}")))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if count >= MAX_ENTRIES {
            return Err(refuse(&name, format!("is beyond the {MAX_ENTRIES} entries allowed")));
        }
        check_name(&entry).map_err(|reason| refuse(&name, reason.to_owned()))?;
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {}
            EntryType::Directory | EntryType::GNULongName | EntryType::XHeader | EntryType::XGlobalHeader => continue,
            EntryType::Symlink | EntryType::Link => return Err(refuse(&name, "is a link".to_owned())),
            kind => return Err(refuse(&name, format!("is neither a file nor a directory, but {kind:?}"))),
        }
        frames.begin().map_err(Stopped::Output)?;
        loop {
            match entry.read(&mut buffer) {
                Ok(0) => break frames.finish().map_err(Stopped::Output)?,
                Ok(read) => frames.data(&buffer[..read]).map_err(Stopped::Output)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(refuse("", format!("can't be read: {error}"))),
            }
        }
    }
    Ok(())
}

/// The error of an archive that ends too early, is not one, or is too large once unpacked.
pub(crate) fn unreadable(descriptor: &Descriptor, error: io::Error) -> OciError {
    OciError::Archive { digest: descriptor.digest.to_string(), entry: String::new(), reason: format!("can't be read: {error}") }
}

fn check_name(entry: &tar::Entry<'_, impl Read>) -> Result<(), &'static str> {
    let Ok(path) = entry.path() else { return Err("has a name that can't be read") };
    for component in path.components() {
        match component {
            Component::Normal(_) | Component::CurDir => {}
            Component::ParentDir => return Err("leads out of the archive"),
            Component::RootDir | Component::Prefix(_) => return Err("is absolute"),
        }
    }
    Ok(())
}

/// Fails, other than `Take`, once the limit is passed.
pub(crate) struct Limited<R> {
    pub(crate) inner: R,
    /// Bytes that may still be read.
    pub(crate) left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let over = || std::io::Error::new(std::io::ErrorKind::FileTooLarge, "it unpacks to more than is allowed");
        self.left = self.left.checked_sub(read as u64).ok_or_else(over)?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    /// A tar file of one file of zeros.
    fn zeros(size: usize) -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
        header.set_path("a").unwrap();
        header.set_size(size as u64);
        header.set_cksum();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(header.as_bytes()).unwrap();
        encoder.write_all(&vec![0; size]).unwrap();
        encoder.finish().unwrap()
    }

    fn unpack(archive: &[u8], limit: u64) -> Result<u64, String> {
        let mut frames = Vec::new();
        match write_entries(archive, limit, &mut FrameWriter::new(&mut frames)) {
            Ok(()) => Ok(frames.len() as u64),
            Err(Stopped::Refused { reason, .. }) => Err(reason),
            Err(Stopped::Output(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn a_bomb_ends_at_the_limit() {
        let bomb = zeros(10 << 20);
        assert!(bomb.len() < 20_000);
        let reason = unpack(&bomb, 1 << 20).unwrap_err();
        assert!(reason.contains("it unpacks to more than is allowed"), "{reason}");
        assert!(unpack(&bomb, 11 << 20).unwrap() > 10 << 20);
    }
}
