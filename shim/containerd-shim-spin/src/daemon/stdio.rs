//! A container's standard streams: containerd's fifos, given to the container as they are.
//!
//! Nothing is copied. The daemon holds every fifo open in both directions while the process lives, so that a restart of containerd
//! breaks no pipe: the writer waits when the pipe is full, and goes on when containerd reads again. It lets go when the process has
//! ended, and then the reader sees the end.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

/// What the daemon holds for one process.
#[derive(Debug, Default)]
pub struct Held {
    stdin: Option<File>,
    _outputs: Vec<File>,
}

/// What the process gets.
#[derive(Debug)]
pub struct Streams {
    /// Its standard input.
    pub stdin: OwnedFd,
    /// Its standard output.
    pub stdout: OwnedFd,
    /// Its standard error.
    pub stderr: OwnedFd,
}

impl Held {
    /// Ends the process's input once containerd's end is closed too.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }
}

/// Nothing to read and nowhere to write: a process that gets a terminal.
pub fn none() -> io::Result<(Held, Streams)> {
    open("", "", "")
}

/// Opens containerd's paths; an empty one is /dev/null.
pub fn open(stdin: &str, stdout: &str, stderr: &str) -> io::Result<(Held, Streams)> {
    let (held_in, stdin) = open_stream(stdin, Direction::Input)?;
    let (held_out, stdout) = open_stream(stdout, Direction::Output)?;
    let (held_err, stderr) = open_stream(stderr, Direction::Output)?;
    let held = Held { stdin: held_in, _outputs: held_out.into_iter().chain(held_err).collect() };
    Ok((held, Streams { stdin, stdout, stderr }))
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Input,
    Output,
}

fn open_stream(uri: &str, direction: Direction) -> io::Result<(Option<File>, OwnedFd)> {
    let path = match uri.split_once("://") {
        None => uri,
        Some(("fifo" | "file", path)) => path,
        Some((scheme, _)) => {
            let reason = format!("logging by {scheme}:// is not supported, only fifos and files");
            return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
        }
    };
    let mut options = OpenOptions::new();
    options.read(direction == Direction::Input).append(direction == Direction::Output);
    if path.is_empty() {
        return Ok((None, options.open("/dev/null")?.into()));
    }
    if !uri.starts_with("file://") && std::fs::metadata(path)?.file_type().is_fifo() {
        // Both ends, and before the process's: opening one end alone would wait for the other.
        let held = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        return Ok((Some(held), options.open(path)?.into()));
    }
    Ok((None, options.create(direction == Direction::Output).mode(0o640).open(path)?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::io::{Read, Write};

    fn fifo(dir: &tempfile::TempDir) -> String {
        let path = dir.path().join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a fifo");
        path.to_str().expect("UTF-8").to_owned()
    }

    #[test]
    fn what_is_written_while_nobody_reads_is_read_later_and_then_comes_the_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = fifo(&dir);
        let (held, streams) = open("", &path, "").expect("opened without a reader");
        File::from(streams.stdout).write_all(b"early").expect("written");
        let mut reader = File::open(&path).expect("containerd comes back");
        drop(held);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("read to the end");
        assert_eq!(text, "early");
    }

    #[test]
    fn closing_the_input_ends_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut held, streams) = open(&fifo(&dir), "", "").expect("opened");
        held.close_stdin();
        assert_eq!(File::from(streams.stdin).read(&mut [0]).expect("read"), 0);
    }

    #[test]
    fn a_logging_program_is_refused_by_name() {
        let error = open("", "binary:///bin/logger", "").expect_err("refused");
        assert!(error.to_string().contains("binary://"), "{error}");
    }
}
