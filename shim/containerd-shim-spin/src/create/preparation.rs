//! Has an app prepared by a copy of this process, while this one has its container made.

use std::io::{self, PipeReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, bail};

use super::prepare::Prepared;
use crate::sys::{self, Fork};

/// What the copy says at last, where it doesn't say what went wrong.
const DONE: &str = "done";

/// The work of the copy, which ends when this process does.
pub struct Preparation(PipeReader);

impl Preparation {
    /// Begins it; what it comes to can be received from the socket, by the app's process.
    pub fn begin(prepare: impl FnOnce() -> Prepared) -> io::Result<(Self, OwnedFd)> {
        let (near, far) = UnixStream::pair()?;
        let (last_word, mut saying) = io::pipe()?;
        match sys::fork_dependent()? {
            Fork::Parent(_) => Ok((Self(last_word), far.into())),
            Fork::Child => {
                let Prepared { plan, descriptors } = prepare();
                let sent = plan.send(&descriptors, &near);
                let word = sent.map_or_else(|error| format!("handing over the plan: {error}"), |()| DONE.to_owned());
                let _nobody_listens = saying.write_all(word.as_bytes());
                std::process::exit(0)
            }
        }
    }

    /// Waits until the plan is on its way.
    pub fn done(mut self) -> Result<()> {
        let mut word = String::new();
        // The pipe's end comes later, with that of the copy, whose memory is taken apart first.
        while word != DONE {
            let mut piece = [0; 256];
            match self.0.read(&mut piece).context("waiting for the app to be prepared")? {
                0 if word.is_empty() => bail!("the process that prepares the app was killed"),
                0 => bail!(word),
                count => word.push_str(&String::from_utf8_lossy(&piece[..count])),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(word: &str) -> Result<()> {
        let (last_word, mut saying) = io::pipe().expect("a pipe");
        saying.write_all(word.as_bytes()).expect("said");
        drop(saying);
        Preparation(last_word).done()
    }

    #[test]
    fn what_went_wrong_is_told_and_so_is_that_nothing_was_said() {
        after(DONE).expect("done");
        assert_eq!(after("no memory").expect_err("wrong").to_string(), "no memory");
        assert!(after("").expect_err("wrong").to_string().contains("killed"));
    }
}
