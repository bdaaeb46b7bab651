//! Starts the processes that do the daemon's work, and listens to what they report.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe::Receiver;

use super::stdio::Streams;
use crate::report::{LONGEST, Report};

/// The reading end of a helper's pipe, which the container's process inherits from it.
#[derive(Debug)]
pub struct Reports(BufReader<Receiver>);

impl Reports {
    /// The next line; none at the end, and none for what is no report.
    pub async fn next(&mut self) -> Option<Report> {
        let mut line = Vec::new();
        let mut limited = (&mut self.0).take(LONGEST);
        limited.read_until(b'\n', &mut line).await.ok()?;
        serde_json::from_slice(&line).ok()
    }
}

/// Starts this very binary with another part to play, in the bundle, with the container's streams as its own.
pub fn spawn(verb: &str, argument: Option<&Path>, bundle: &Path, streams: Streams) -> io::Result<(u32, Reports)> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("containerd-shim-spin-v2").arg(verb).arg(writer.as_raw_fd().to_string()).args(argument);
    command.env_clear().current_dir(bundle).process_group(0);
    command.stdin(streams.stdin).stdout(streams.stdout).stderr(streams.stderr);
    // Nothing else is started meanwhile: the daemon starts programs on one thread alone, and doesn't wait here.
    fcntl_setfd(&writer, FdFlags::empty())?;
    let child = command.spawn()?;
    drop(writer);
    Ok((child.id(), Reports(BufReader::with_capacity(512, Receiver::from_owned_fd(reader)?))))
}
