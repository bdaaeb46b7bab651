//! Processes of a container that the kernel killed for want of memory: containerd is told of each when it happens, and so learns why a
//! container ended.
//!
//! With systemd's driver the cgroup is gone soon after its last process, and what it counted with it. The cgroup above, which is the
//! pod's, counts the same kills and stays. With version 1 nobody removes the cgroup but the daemon, which looks when the container
//! has ended.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use containerd_shim_protos::events::task::TaskOOM;
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use tokio::io::Interest;

use super::events::Events;
use super::reaper::Exit;
use crate::cgroup::Cgroup;
use crate::sys;

/// The exit status of a process that SIGKILL ended.
const KILLED: u32 = 128 + 9;

/// How many were reported, of one container.
#[derive(Debug)]
pub struct OomKills {
    reported: AtomicU64,
    /// Those of all containers of the pod.
    of_pod: Arc<AtomicU64>,
    /// How many the cgroup above had counted when the container was made, and how many of the pod were reported by then.
    before: Option<(u64, u64)>,
}

impl OomKills {
    /// None yet, of a container that was made just now. `of_pod`: how many were reported of all containers of its pod.
    pub fn new(of_pod: &Arc<AtomicU64>, cgroup: &Cgroup) -> Self {
        let before = cgroup.oom_kills_above().map(|count| (count, of_pod.load(Ordering::Relaxed)));
        Self { reported: AtomicU64::new(0), of_pod: of_pod.clone(), before }
    }

    /// Publishes that there were more, if there were.
    fn report(&self, events: &Events, id: &str, count: u64) {
        let before = self.reported.fetch_max(count, Ordering::Relaxed);
        if before < count {
            self.of_pod.fetch_add(count - before, Ordering::Relaxed);
            events.publish(&TaskOOM { container_id: id.to_owned(), ..Default::default() });
        }
    }

    /// Publishes the kills that the watch has not seen, once the container has ended.
    pub fn report_at_end(&self, events: &Events, id: &str, cgroup: &Cgroup, exit: &Exit) {
        match cgroup.oom_kills() {
            Some(count) => self.report(events, id, count),
            // The cgroup was removed before its counter was read. A kill in the pod that was reported of no container is this one's.
            None if exit.status == KILLED => {
                let missed = cgroup.oom_kills_above().map_or(0, |count| self.missed(count));
                self.report(events, id, self.reported.load(Ordering::Relaxed) + missed);
            }
            None => {}
        }
    }

    /// How many of those that the cgroup above has counted since the container was made are of no container.
    fn missed(&self, above: u64) -> u64 {
        let Some((counted, reported)) = self.before else { return 0 };
        above.saturating_sub(counted).saturating_sub(self.of_pod.load(Ordering::Relaxed) - reported)
    }

    /// Has them reported from now on, until the cgroup is gone.
    pub fn watch(self: &Arc<Self>, events: &Arc<Events>, id: &str, cgroup: &Cgroup) {
        let Some(dir) = cgroup.unified_dir() else { return };
        let changes = match Changes::of(&dir.join("memory.events")) {
            Ok(changes) => changes,
            // No controller of memory, so no limit.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return log::warn!(id; "watching for kills for want of memory: {error}"),
        };
        let (kills, events, id, cgroup) = (self.clone(), events.clone(), id.to_owned(), cgroup.clone());
        tokio::spawn(async move {
            while changes.next().await.is_ok_and(|is_there| is_there) {
                kills.report(&events, &id, cgroup.oom_kills().unwrap_or(0));
            }
        });
    }
}

/// The changes of one file.
struct Changes(tokio::io::unix::AsyncFd<File>);

impl Changes {
    fn of(file: &Path) -> io::Result<Self> {
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        // The directory's end is told of without being asked for (`IN_IGNORED`).
        add_watch(&inotify, file, WatchFlags::MODIFY)?;
        Ok(Self(sys::watch(inotify.into())?))
    }

    /// Waits for one; false once the file is gone.
    async fn next(&self) -> io::Result<bool> {
        /// `IN_IGNORED` of sys/inotify.h, in the second of an event's four numbers.
        const IGNORED: u32 = 0x8000;
        const EVENT_BYTES: usize = 16;
        let mut events = [0; EVENT_BYTES * 64];
        let length = self.0.async_io(Interest::READABLE, |mut file| file.read(&mut events)).await?;
        // Events of a watch on a file have no name behind them.
        let masks = events[..length].chunks_exact(EVENT_BYTES).map(|event| [event[4], event[5], event[6], event[7]]);
        Ok(!masks.map(u32::from_ne_bytes).any(|mask| mask & IGNORED != 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_in_the_pod_that_no_container_had_are_missed() {
        let of_pod = Arc::new(AtomicU64::new(5));
        let kills = OomKills { reported: AtomicU64::new(0), of_pod: of_pod.clone(), before: Some((7, 5)) };
        assert_eq!(kills.missed(7), 0);
        assert_eq!(kills.missed(9), 2);
        of_pod.fetch_add(1, Ordering::Relaxed);
        assert_eq!([8, 9].map(|above| kills.missed(above)), [0, 1], "another container had one");
    }
}
