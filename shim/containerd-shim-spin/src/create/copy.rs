//! A copy of this process that does some work, and says at its end whether that was done.

use std::io::{self, BufRead, BufReader, PipeReader, Write};

use anyhow::{Context, Result, bail};

use crate::sys::{self, Fork};

/// The copy's last line where all is done; otherwise it is the reason why not.
const DONE: &str = "done";

/// The work of such a copy, which ends when this process does.
pub struct Copy {
    last_line: PipeReader,
    purpose: &'static str,
}

impl Copy {
    /// Begins it. `purpose` completes "the process that …" in errors.
    pub fn begin(purpose: &'static str, work: impl FnOnce() -> Result<()>) -> io::Result<Self> {
        let (last_line, mut output) = io::pipe()?;
        match sys::fork_dependent()? {
            Fork::Parent(_) => Ok(Self { last_line, purpose }),
            Fork::Child => {
                let line = work().map_or_else(|error| format!("{error:#}").replace('\n', " "), |()| DONE.to_owned());
                let _nobody_listens = writeln!(output, "{line}");
                std::process::exit(0)
            }
        }
    }

    /// Waits until the work is done.
    pub fn done(self) -> Result<()> {
        let mut line = String::new();
        // Not until the pipe's end, which comes later, with that of the copy: its memory is taken apart first.
        let read = BufReader::new(self.last_line).read_line(&mut line);
        read.with_context(|| format!("waiting for the process that {}", self.purpose))?;
        match line.trim_end() {
            DONE => Ok(()),
            "" => bail!("the process that {} was killed", self.purpose),
            wrong => bail!("{wrong}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(line: &str) -> Result<()> {
        let (last_line, mut output) = io::pipe().expect("a pipe");
        output.write_all(line.as_bytes()).expect("written");
        drop(output);
        Copy { last_line, purpose: "tries" }.done()
    }

    #[test]
    fn what_went_wrong_is_told_and_so_is_that_nothing_was_said() {
        after(DONE).expect("done");
        assert_eq!(after("no memory").expect_err("wrong").to_string(), "no memory");
        assert!(after("").expect_err("wrong").to_string().contains("killed"));
    }
}
