//! The files of an archive as a stream of frames: a kind, a length (32 bits, little endian), that many bytes.

use std::io::{self, Read, Write};

use super::unreadable;
use crate::OciError;
use crate::blobs::Descriptor;

/// A file begins.
const BEGIN: u8 = b'b';
/// Bytes of the file.
const DATA: u8 = b'd';
/// The file is complete.
const FINISH: u8 = b'f';
/// The archive is refused: the entry's name and the reason, as JSON.
const REFUSE: u8 = b'r';
/// The archive is complete.
const END: u8 = b'e';
/// The longest frame but data, which is never held.
const MAX_REFUSAL_BYTES: usize = 64 << 10;

/// Writes such a stream.
pub(super) struct FrameWriter<W>(W);

impl<W: Write> FrameWriter<W> {
    pub(super) fn new(output: W) -> Self {
        Self(output)
    }

    pub(super) fn begin(&mut self) -> io::Result<()> {
        self.frame(BEGIN, &[])
    }

    /// At most 64 KiB.
    pub(super) fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.frame(DATA, bytes)
    }

    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.frame(FINISH, &[])
    }

    pub(super) fn refuse(&mut self, entry: &str, reason: &str) -> io::Result<()> {
        // A name has at most 355 bytes, but what is not UTF-8 in it grows, and so does what JSON escapes.
        self.frame(REFUSE, &serde_json::to_vec(&(entry, reason))?)
    }

    pub(super) fn end(&mut self) -> io::Result<()> {
        self.frame(END, &[])
    }

    fn frame(&mut self, kind: u8, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?.to_le_bytes();
        self.0.write_all(&[kind, length[0], length[1], length[2], length[3]])?;
        self.0.write_all(bytes)
    }
}

/// Gives each file of a stream to `file`; the writer is not trusted.
pub(super) fn read_frames(
    input: &mut dyn Read,
    descriptor: &Descriptor,
    file: &mut dyn FnMut(&mut dyn Read) -> Result<(), OciError>,
) -> Result<(), OciError> {
    let mut frames = FrameReader { input, data: 0, in_file: false, refusal: None };
    loop {
        let kind = frames.next();
        let result = match kind {
            Ok(END) => return Ok(()),
            Ok(BEGIN) => {
                frames.in_file = true;
                // What is left of a file that was not read to its end belongs to nothing.
                file(&mut frames)
                    .and_then(|()| io::copy(&mut frames, &mut io::sink()).map_err(|error| unreadable(descriptor, error)))
            }
            Ok(_) => Err(unreadable(descriptor, io::ErrorKind::InvalidData.into())),
            Err(error) => Err(unreadable(descriptor, error)).map(|()| 0),
        };
        if let Err(error) = result {
            let refused = |(entry, reason)| OciError::Archive { digest: descriptor.digest.to_string(), entry, reason };
            return Err(frames.refusal.map_or(error, refused));
        }
    }
}

/// Reads such a stream; as a reader itself, the current file of it.
struct FrameReader<'a> {
    input: &'a mut dyn Read,
    /// Bytes that are left of a frame of data.
    data: u32,
    in_file: bool,
    refusal: Option<(String, String)>,
}

impl FrameReader<'_> {
    /// The next frame's kind. Of data the length is noted; a refusal is an error.
    fn next(&mut self) -> io::Result<u8> {
        let mut header = [0; 5];
        self.input.read_exact(&mut header)?;
        let [kind, length @ ..] = header;
        let length = u32::from_le_bytes(length);
        match kind {
            DATA => self.data = length,
            REFUSE => {
                let mut text = Vec::new();
                self.input.take(u64::from(length).min(MAX_REFUSAL_BYTES as u64)).read_to_end(&mut text)?;
                self.refusal = Some(serde_json::from_slice(&text)?);
                return Err(io::ErrorKind::InvalidData.into());
            }
            _ if length != 0 => return Err(io::ErrorKind::InvalidData.into()),
            _ => {}
        }
        Ok(kind)
    }
}

impl Read for FrameReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.in_file && self.data == 0 {
            match self.next()? {
                DATA => {}
                FINISH => self.in_file = false,
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
        let wanted = buffer.len().min(self.data as usize);
        if wanted == 0 {
            return Ok(0);
        }
        match self.input.read(&mut buffer[..wanted])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                // At most what was wanted, which is at most what is left.
                self.data -= u32::try_from(read).map_err(io::Error::other)?;
                Ok(read)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Digest;

    fn files(stream: &[u8]) -> (Vec<String>, Result<(), OciError>) {
        let descriptor = Descriptor { media_type: String::new(), digest: Digest::of(b""), size: 0 };
        let mut files = Vec::new();
        let result = read_frames(&mut &*stream, &descriptor, &mut |file| {
            files.push(io::read_to_string(file).map_err(|error| unreadable(&descriptor, error))?);
            Ok(())
        });
        (files, result)
    }

    /// Two files, the second of them empty.
    fn stream(last: impl FnOnce(&mut FrameWriter<&mut Vec<u8>>) -> io::Result<()>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut frames = FrameWriter::new(&mut bytes);
        frames.begin().and_then(|()| frames.data(b"on")).and_then(|()| frames.data(b"e")).unwrap();
        frames.finish().and_then(|()| frames.begin()).and_then(|()| frames.finish()).unwrap();
        last(&mut frames).unwrap();
        bytes
    }

    #[test]
    fn files_are_read_as_they_were_written() {
        let (files, result) = files(&stream(|frames| frames.end()));
        result.unwrap();
        assert_eq!(files, ["one", ""]);
    }

    #[test]
    fn a_refusal_has_its_entry_and_reason() {
        let (files, result) = files(&stream(|frames| frames.refuse("../a", "leads out")));
        assert_eq!(files, ["one", ""]);
        assert!(result.unwrap_err().to_string().ends_with("\"../a\" leads out"));
    }

    #[test]
    fn a_stream_that_ends_too_early_is_an_error_wherever_it_ends() {
        let whole = stream(|frames| frames.end());
        for length in 0..whole.len() {
            assert!(files(&whole[..length]).1.is_err(), "{length} bytes");
        }
    }

    #[test]
    fn no_frame_is_taken_for_another() {
        for kind in 0..=u8::MAX {
            for place in [0, 5, 12, 18, 23, 28] {
                let mut bytes = stream(|frames| frames.end());
                if bytes.get(place).is_some_and(|byte| *byte != kind) {
                    bytes[place] = kind;
                    let (files, result) = files(&bytes);
                    assert!(result.is_err() || files == ["one", ""] || files.len() < 2, "{kind} at {place}: {files:?}");
                }
            }
        }
    }
}
