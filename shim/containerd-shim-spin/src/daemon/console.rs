//! A terminal: the one case where the daemon copies, between containerd's fifos and the terminal's controlling end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_setfl};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

use super::logger::Outputs;
use crate::sys;

/// What a program wrote last before it ended has this long to reach containerd.
const LAST_OUTPUT: Duration = Duration::from_secs(2);
const CHUNK: usize = 4096;

/// Waits for the terminal that a helper makes inside the container.
#[derive(Debug)]
pub struct Expected {
    listener: UnixListener,
    path: PathBuf,
}

/// A terminal at work.
#[derive(Debug)]
pub struct Console {
    master: OwnedFd,
    input: JoinHandle<()>,
    output: JoinHandle<()>,
}

impl Expected {
    /// Makes the socket in this directory; its path would be too long for a socket address.
    pub fn at(path: PathBuf) -> io::Result<Self> {
        let (dir, name) = (path.parent().unwrap_or(Path::new("/")), path.file_name().unwrap_or_default());
        let dir = File::open(dir)?;
        let short = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name);
        let listener = UnixListener::bind(short)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path })
    }

    /// Takes the terminal over and begins to copy; the output into the pipe to a logging program, where there is one. Called once the
    /// helper has reported success, so that the terminal is there.
    pub fn take(self, stdin: &str, stdout: &str, logged: Option<&Outputs>) -> io::Result<Console> {
        let (stream, _) = self.listener.accept()?;
        stream.set_nonblocking(false)?;
        let master = sys::receive_fd(stream.as_fd())?;
        let sink = match logged {
            Some([output, _]) => Some(File::from(output.try_clone()?)),
            None => open(stdout)?,
        };
        let source = open(stdin)?;
        Ok(Console {
            input: tokio::spawn(copy(source, Some(File::from(master.try_clone()?)))),
            output: tokio::spawn(copy(Some(File::from(master.try_clone()?)), sink)),
            master,
        })
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        let _gone_already = fs::remove_file(&self.path);
    }
}

impl Console {
    /// Tells the program how large the user's window is.
    pub fn resize(&self, width: u32, height: u32) -> io::Result<()> {
        let clamp = |cells: u32| u16::try_from(cells).unwrap_or(u16::MAX);
        sys::set_window_size(self.master.as_fd(), clamp(width), clamp(height))
    }

    /// Passes on what the program wrote last, and lets go.
    pub async fn finish(mut self) {
        self.input.abort();
        if tokio::time::timeout(LAST_OUTPUT, &mut self.output).await.is_err() {
            self.output.abort();
        }
    }
}

/// Opens a fifo both ways, so that nothing waits for containerd, and containerd's end is not the end of the terminal.
fn open(path: &str) -> io::Result<Option<File>> {
    let mut both_ways = OpenOptions::new();
    both_ways.read(true).write(true).custom_flags(libc::O_NONBLOCK);
    if path.is_empty() { Ok(None) } else { both_ways.open(path).map(Some) }
}

/// Copies until either end is gone; of a program that ended, the terminal says so by an error.
async fn copy(source: Option<File>, sink: Option<File>) {
    let (Some(source), Some(sink)) = (source.and_then(watched), sink.and_then(watched)) else { return };
    let mut buffer = [0; CHUNK];
    while let Ok(length) = source.async_io(Interest::READABLE, |mut file| file.read(&mut buffer)).await {
        if length == 0 {
            return;
        }
        let mut rest = &buffer[..length];
        while !rest.is_empty() {
            match sink.async_io(Interest::WRITABLE, |mut file| file.write(rest)).await {
                Ok(written) if written > 0 => rest = &rest[written..],
                _ => return,
            }
        }
    }
}

fn watched(file: File) -> Option<AsyncFd<File>> {
    fcntl_setfl(&file, OFlags::NONBLOCK).ok()?;
    sys::watch(file).ok()
}
