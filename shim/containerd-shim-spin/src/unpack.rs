//! Unpacking archives in a process of its own, confined ([`crate::confined`]).

use std::ffi::OsString;
use std::io::{self, Read};
use std::process::{ExitCode, Stdio};

use spin_oci::{Unpacker, unpack};

use crate::allocator;
use crate::confined::{self, Limits};
use crate::plan::Failure;

/// The argument that asks for this part. An archive comes in on stdin, a stream of its files goes out on stdout.
pub const VERB: &str = "--unpack";

/// It writes to a pipe alone.
const LIMITS: Limits = Limits { memory: 256 << 20, processor_seconds: 300, file: 0 };

/// Unpacks in a child of this process.
pub struct InAChild;

impl Unpacker for InAChild {
    fn run(&self, archive: &mut (dyn Read + Send), read: &mut dyn FnMut(&mut dyn Read)) -> io::Result<()> {
        let mut child = confined::spawn(VERB, (allocator::SETTINGS, &allocator::settings(1)), Stdio::piped(), Stdio::piped())?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        std::thread::scope(|scope| {
            // Ends where the child does: it may have no use for the rest.
            scope.spawn(move || input.map(|mut input| io::copy(archive, &mut input)));
            if let Some(mut output) = output {
                read(&mut output);
            }
        });
        confined::wait(child, "the unpacker").map_err(io::Error::other)
    }
}

/// The child.
pub fn main(args: &[OsString]) -> ExitCode {
    confined::main(args, &LIMITS, || match unpack(io::stdin().lock(), io::stdout().lock()) {
        // The parent has no use for the rest, and knows why.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(Failure::internal("writing the files of an archive")),
    })
}
