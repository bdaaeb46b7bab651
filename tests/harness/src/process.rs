//! A program a test runs beside itself, ended by its id when the value is dropped.

use std::fs;
use std::io;
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
        let file = fs::File::options().create(true).append(true).open(log).expect("the log can be opened");
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

/// A field of a thread's status, such as `Uid`.
pub fn status_field(pid: i32, thread: i32, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/task/{thread}/status")).expect("it runs");
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
    value.expect("the kernel has the field").to_owned()
}

/// Raises the soft limit of open files of this process to the hard one, for tests with many connections.
pub fn allow_open_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls read and write the one value that they are given, which is of their type.
    let allowed = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit)
    };
    assert_eq!(allowed, 0, "the soft limit of open files can't be raised");
}

/// The ids of all processes.
pub fn pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("proc is mounted").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Whose child a process is; none where it has ended.
pub fn parent(pid: i32) -> Option<i32> {
    parent_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The fourth field; the second is a name in brackets, which may hold anything.
fn parent_in(stat: &str) -> Option<i32> {
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// The arguments of a process, a zero after each; empty where it has ended.
pub fn command_line(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

/// Each thread of a process by name, and how often it has given up its processor to wait, which is as often as it was woken. Without threads that end
/// while the others are read.
pub fn switches(pid: i32) -> io::Result<Vec<(String, u64)>> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))?.flatten();
    let status = threads.filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok());
    Ok(status.filter_map(|status| switches_in(&status)).collect())
}

fn switches_in(status: &str) -> Option<(String, u64)> {
    let value = |name| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    Some((value("Name:")?.to_owned(), value("voluntary_ctxt_switches:")?.parse().ok()?))
}

/// Whether this process has `CAP_SYS_RESOURCE`: without it nobody may be made less likely to be killed for want of memory.
pub fn has_sys_resource() -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("proc is mounted");
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).expect("a process has capabilities");
    u64::from_str_radix(effective.trim(), 16).expect("they are a number") & (1 << 24) != 0
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_hide_the_parent() {
        assert_eq!(parent_in("12 (a) b) S 7 12 0"), Some(7));
    }
}
