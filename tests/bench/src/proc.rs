//! Processes as the kernel tells of them: parents, memory, wake-ups, processor time.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use harness::process::{self, command_line, parent, pids};

use crate::error::Error;

/// Which process is whose child, at one moment.
#[derive(Debug)]
pub struct Processes(HashMap<i32, i32>);

impl Processes {
    /// As it is now.
    pub fn now() -> Self {
        Self(pids().into_iter().filter_map(|pid| Some((pid, parent(pid)?))).collect())
    }

    /// Everything that serves these tasks: each one's shim, the task itself, and whatever else the shim started.
    pub fn serving(&self, tasks: &[i32]) -> Result<BTreeSet<i32>, Error> {
        let mut all = BTreeSet::new();
        for task in tasks {
            let shim = self.shim_of(*task)?;
            all.extend(self.0.keys().filter(|pid| self.descends(**pid, shim)));
        }
        Ok(all)
    }

    /// The shim of a task: its parent, because shims are subreapers.
    pub fn shim_of(&self, task: i32) -> Result<i32, Error> {
        let shim = self.0.get(&task).copied().filter(|pid| is_shim(*pid));
        shim.ok_or(Error::Unsupervised(task))
    }

    fn descends(&self, pid: i32, ancestor: i32) -> bool {
        let mut at = Some(pid);
        while let Some(pid) = at {
            if pid == ancestor {
                return true;
            }
            at = self.0.get(&pid).copied();
        }
        false
    }
}

/// The processes of the containers of these pods, by their cgroups' names, which cgroupfs and systemd write differently.
pub fn of_pods(uids: &[String]) -> Vec<i32> {
    let names: Vec<String> = uids.iter().flat_map(|uid| [uid.clone(), uid.replace('-', "_")]).collect();
    let in_pod = |pid: &i32| {
        let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        names.iter().any(|name| cgroup.contains(name.as_str()))
    };
    pids().into_iter().filter(in_pod).collect()
}

/// The proportional set size of processes in MiB: pages that several map are divided among them.
pub fn pss<'a>(pids: impl IntoIterator<Item = &'a i32>) -> Result<f64, Error> {
    let kib = |pid: &i32| number(format!("/proc/{pid}/smaps_rollup").into(), "Pss:");
    Ok(pids.into_iter().map(kib).sum::<Result<f64, _>>()? / 1024.0)
}

/// How often the threads of a process have gone to sleep by themselves, which is as often as they were woken.
pub fn switches(pid: i32) -> Result<f64, Error> {
    let threads = process::switches(pid).map_err(Error::io(format!("/proc/{pid}/task")))?;
    Ok(threads.iter().map(|(_, count)| *count as f64).sum())
}

/// How long the threads of a process, those that it has now, were on a processor.
pub fn on_processor(pid: i32) -> Result<Duration, Error> {
    // The file is that time in nanoseconds, the time in which it had to wait for one, and how often it was put on one.
    let nanoseconds =
        |thread: &PathBuf| -> Option<u64> { fs::read_to_string(thread.join("schedstat")).ok()?.split(' ').next()?.parse().ok() };
    Ok(Duration::from_nanos(threads(pid)?.iter().filter_map(nanoseconds).sum()))
}

/// How many connections a server at this IPv4 address has not closed yet.
pub fn connections(address: SocketAddr) -> Result<usize, Error> {
    let table = PathBuf::from("/proc/self/net/tcp");
    let text = fs::read_to_string(&table).map_err(Error::io(table))?;
    Ok(open_at(&text, address.port()))
}

/// Lines of the kernel's table: a number, the near and the far address, the state; addresses and states in hexadecimal digits.
fn open_at(table: &str, port: u16) -> usize {
    // TCP_ESTABLISHED and TCP_CLOSE_WAIT (net/tcp_states.h).
    const OPEN: [&str; 2] = ["01", "08"];
    let near = format!(":{port:04X}");
    let is_open = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|address| address.ends_with(&near)) && fields.nth(1).is_some_and(|state| OPEN.contains(&state))
    };
    table.lines().filter(is_open).count()
}

/// The directories of a process's threads.
fn threads(pid: i32) -> Result<Vec<PathBuf>, Error> {
    let tasks = PathBuf::from(format!("/proc/{pid}/task"));
    let entries = fs::read_dir(&tasks).map_err(Error::io(&tasks))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

fn is_shim(pid: i32) -> bool {
    command_line(pid).split('\0').next().is_some_and(|program| program.contains("containerd-shim"))
}

/// The first word after `name` at a line's beginning.
fn number(path: PathBuf, name: &str) -> Result<f64, Error> {
    let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
    value.ok_or_else(|| Error::Io { path, source: std::io::ErrorKind::InvalidData.into() })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn this_process_has_memory_and_a_parent() {
        let this = i32::try_from(std::process::id()).expect("a pid is positive");
        assert!(pss([&this]).expect("it runs") > 0.0);
        assert!(Processes::now().descends(this, 1));
    }

    #[test]
    fn what_computes_is_on_a_processor() {
        let this = i32::try_from(std::process::id()).expect("a pid is positive");
        let (before, began) = (on_processor(this).expect("it runs"), Instant::now());
        // Reading it is computing too.
        while on_processor(this).expect("it runs") < before + Duration::from_millis(5) {
            assert!(began.elapsed() < Duration::from_secs(30), "nothing is counted");
        }
    }

    #[test]
    fn a_servers_connections_are_counted_until_it_closes_them() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = server.local_addr().expect("an address");
        assert_eq!(connections(address).expect("the table"), 0, "one that listens has none");
        let client = std::net::TcpStream::connect(address).expect("connected");
        let accepted = server.accept().expect("accepted");
        assert_eq!(connections(address).expect("the table"), 1);
        drop(client);
        assert_eq!(connections(address).expect("the table"), 1, "the client alone has closed it");
        drop(accepted);
        assert_eq!(connections(address).expect("the table"), 0);
    }

    #[test]
    fn a_process_of_no_shim_is_no_task() {
        let this = i32::try_from(std::process::id()).expect("a pid is positive");
        assert!(matches!(Processes::now().shim_of(this), Err(Error::Unsupervised(_))));
    }
}
