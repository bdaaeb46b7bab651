//! Has an app prepared by a copy of this process, while this one has its container made.

use std::io::{self, PipeReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, ensure};

use super::prepare::Prepared;
use crate::sys::{self, Fork};

/// The work of the copy, which ends when this process does.
pub struct Preparation(PipeReader);

impl Preparation {
    /// Begins it; what it comes to can be received from the socket, by the app's process.
    pub fn begin(prepare: impl FnOnce() -> Prepared) -> io::Result<(Self, OwnedFd)> {
        let (near, far) = UnixStream::pair()?;
        let (done, mut doing) = io::pipe()?;
        match sys::fork_dependent()? {
            Fork::Parent(_) => Ok((Self(done), far.into())),
            Fork::Child => {
                let Prepared { plan, descriptors } = prepare();
                if let Err(error) = plan.send(&descriptors, &near).and_then(|()| doing.write_all(&[0])) {
                    log::warn!("handing over the plan: {error}");
                }
                std::process::exit(0)
            }
        }
    }

    /// Waits until the plan is on its way.
    pub fn done(mut self) -> Result<()> {
        let count = self.0.read(&mut [0]).context("waiting for the app to be prepared")?;
        ensure!(count > 0, "the process that prepares the app was killed");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_fails_to_send_is_not_done() {
        let (done, doing) = io::pipe().expect("a pipe");
        drop(doing);
        Preparation(done).done().expect_err("nothing was sent");
    }
}
