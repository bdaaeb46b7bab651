//! A program a test runs beside itself, ended by its id when the value is dropped.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// A running program.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts it, with its output in `log`.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let file = std::fs::File::options().create(true).append(true).open(log).expect("the log can be opened");
        let other = file.try_clone().expect("the log can be shared");
        let child = command.stdin(Stdio::null()).stdout(file).stderr(other).spawn();
        Self { child: child.unwrap_or_else(|error| panic!("{command:?}: {error}")) }
    }

    /// Its id.
    pub fn id(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid is positive")
    }

    /// Sends it a signal and waits until it has ended.
    pub fn end(&mut self, number: i32) {
        signal(self.id(), number);
        let _status = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end(libc::SIGTERM);
        }
    }
}

/// Sends a signal to a process.
pub fn signal(pid: i32, number: i32) {
    // SAFETY: kill(2) reads no memory of ours.
    unsafe { libc::kill(pid, number) };
}

/// Runs a command to its end; its standard output, or a panic with all it said.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?} ended with {}: {}", output.status, said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Both outputs of a command as one text.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
