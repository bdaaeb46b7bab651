//! Has an app prepared by a copy of this process, while this one has its container made.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result};

use super::copy::Copy;
use super::prepare::Prepared;

/// Begins it; the plan can be received from the socket, by the app's process, and is on its way once the copy is done.
pub fn begin(prepare: impl FnOnce() -> Result<Prepared>) -> io::Result<(Copy, OwnedFd)> {
    let (near, far) = UnixStream::pair()?;
    let copy = Copy::begin("prepares the app", || {
        let Prepared { plan, descriptors } = prepare()?;
        plan.send(&descriptors, &near).context("handing over the plan")
    })?;
    Ok((copy, far.into()))
}
