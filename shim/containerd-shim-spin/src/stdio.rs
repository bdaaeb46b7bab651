//! A container's standard streams: containerd's fifos, given to the container as they are.
//!
//! Nothing is copied. The daemon holds every fifo open in both directions while the process lives, so that a restart of containerd
//! breaks no pipe: the writer waits when the pipe is full, and goes on when containerd reads again. It lets go when the process has
//! ended, and then the reader sees the end. The helper opens them after that, each in its direction, for the process it makes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use serde::{Deserialize, Serialize};

/// Where a process's streams go: containerd's paths.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Paths {
    /// A fifo, or empty.
    pub stdin: String,
    /// A fifo, or empty.
    pub stdout: String,
    /// A fifo, or empty.
    pub stderr: String,
    /// Whether a terminal stands between them and the process.
    pub terminal: bool,
}

/// What the daemon holds for one process.
#[derive(Debug, Default)]
pub struct Held {
    stdin: Option<File>,
    outputs: Vec<File>,
}

impl Held {
    /// Opens what is to be held, both ends of each fifo: opening one end alone would wait for the other. Nothing, for a terminal's sake.
    pub fn open(paths: &Paths) -> io::Result<Self> {
        if paths.terminal {
            return Ok(Self::default());
        }
        let hold = |uri| Stream::of(uri)?.hold();
        let outputs = [hold(&paths.stdout)?, hold(&paths.stderr)?];
        Ok(Self { stdin: hold(&paths.stdin)?, outputs: outputs.into_iter().flatten().collect() })
    }

    /// Holds these pipes to a logging program too.
    pub fn hold(&mut self, outputs: impl IntoIterator<Item = OwnedFd>) {
        self.outputs.extend(outputs.into_iter().map(File::from));
    }

    /// Ends the process's input once containerd's end is closed too.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }
}

/// Makes them this process's own; /dev/null for what is empty, and for a process that gets a terminal. `logged`: standard output and
/// standard error as pipes to a logging program, where there is one.
pub fn take(paths: &Paths, logged: Option<[OwnedFd; 2]>) -> io::Result<()> {
    let [stdin, stdout, stderr] = [&paths.stdin, &paths.stdout, &paths.stderr].map(|uri| if paths.terminal { "" } else { uri });
    dup2_stdin(Stream::of(stdin)?.open(OpenOptions::new().read(true))?)?;
    if let Some([out, err]) = logged {
        dup2_stdout(out)?;
        return Ok(dup2_stderr(err)?);
    }
    dup2_stdout(Stream::of(stdout)?.open(OpenOptions::new().append(true))?)?;
    Ok(dup2_stderr(Stream::of(stderr)?.open(OpenOptions::new().append(true))?)?)
}

/// What one of containerd's paths means.
enum Stream<'a> {
    None,
    Fifo(&'a str),
    File(&'a str),
    /// A logging program, which is started elsewhere.
    Program,
}

impl<'a> Stream<'a> {
    fn of(uri: &'a str) -> io::Result<Self> {
        let path = match uri.split_once("://") {
            None => uri,
            Some(("fifo", path)) => path,
            Some(("file", path)) => return Ok(Self::File(path)),
            Some(("binary" | "binary-v2", _)) => return Ok(Self::Program),
            Some((scheme, _)) => {
                let reason = format!("logging by {scheme}:// is not supported, only fifos, files and programs (binary://)");
                return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
            }
        };
        if path.is_empty() {
            return Ok(Self::None);
        }
        Ok(if std::fs::metadata(path)?.file_type().is_fifo() { Self::Fifo(path) } else { Self::File(path) })
    }

    fn hold(&self) -> io::Result<Option<File>> {
        let Self::Fifo(path) = self else { return Ok(None) };
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path).map(Some)
    }

    fn open(&self, how: &mut OpenOptions) -> io::Result<File> {
        match self {
            Self::None => how.open("/dev/null"),
            // The program that the standard output names reads both outputs.
            Self::Program => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "only the standard output can name a logging program"))
            }
            Self::Fifo(path) => how.open(path),
            // Made only where it is written to: the system refuses to make what is to be read.
            Self::File(path) => how.open(path).or_else(|_| how.create(true).mode(0o640).open(path)),
        }
    }
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

    fn output(path: &str) -> File {
        Stream::of(path).and_then(|stream| stream.open(OpenOptions::new().append(true))).expect("opened")
    }

    #[test]
    fn what_is_written_while_nobody_reads_is_read_later_and_then_comes_the_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = fifo(&dir);
        let held = Held::open(&Paths { stdout: path.clone(), ..Paths::default() }).expect("opened without a reader");
        output(&path).write_all(b"early").expect("written");
        let mut reader = File::open(&path).expect("containerd comes back");
        drop(held);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("read to the end");
        assert_eq!(text, "early");
    }

    #[test]
    fn closing_the_input_ends_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = fifo(&dir);
        let mut held = Held::open(&Paths { stdin: path.clone(), ..Paths::default() }).expect("opened");
        let mut input = File::open(&path).expect("does not wait");
        held.close_stdin();
        assert_eq!(input.read(&mut [0]).expect("read"), 0);
    }

    #[test]
    fn a_file_is_made_where_there_is_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log");
        let uri = format!("file://{}", path.display());
        assert!(Held::open(&Paths { stdout: uri.clone(), ..Paths::default() }).expect("nothing to hold").outputs.is_empty());
        for line in ["one,", "two"] {
            output(&uri).write_all(line.as_bytes()).expect("written");
        }
        assert_eq!(std::fs::read_to_string(path).expect("read"), "one,two");
    }

    #[test]
    fn an_unknown_kind_of_log_is_refused_by_name() {
        let paths = Paths { stdout: "syslog:///dev/log".into(), ..Paths::default() };
        let error = Held::open(&paths).expect_err("refused");
        assert!(error.to_string().contains("syslog://"), "{error}");
    }

    #[test]
    fn a_logging_program_for_standard_error_alone_is_refused() {
        let opened = Stream::of("binary:///bin/logger").and_then(|stream| stream.open(OpenOptions::new().append(true)));
        assert_eq!(opened.expect_err("refused").kind(), io::ErrorKind::InvalidInput);
    }
}
