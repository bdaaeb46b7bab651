//! Has an app prepared by a copy of this process, while this one has its container made.

use std::io::{self, BufRead, BufReader, PipeReader, Write};
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
    pub fn begin(prepare: impl FnOnce() -> Result<Prepared>) -> io::Result<(Self, OwnedFd)> {
        let (near, far) = UnixStream::pair()?;
        let (last_word, mut saying) = io::pipe()?;
        match sys::fork_dependent()? {
            Fork::Parent(_) => Ok((Self(last_word), far.into())),
            Fork::Child => {
                let sent = prepare()
                    .and_then(|Prepared { plan, descriptors }| plan.send(&descriptors, &near).context("handing over the plan"));
                let word = sent.map_or_else(|error| format!("{error:#}").replace('\n', " "), |()| DONE.to_owned());
                let _nobody_listens = writeln!(saying, "{word}");
                std::process::exit(0)
            }
        }
    }

    /// Waits until the plan is on its way.
    pub fn done(self) -> Result<()> {
        let mut line = String::new();
        // Not until the pipe's end, which comes later, with that of the copy: its memory is taken apart first.
        BufReader::new(self.0).read_line(&mut line).context("waiting for the app to be prepared")?;
        match line.trim_end() {
            DONE => Ok(()),
            "" => bail!("the process that prepares the app was killed"),
            wrong => bail!("{wrong}"),
        }
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
