//! Processes of a container that the kernel killed for want of memory: containerd is told of each when it happens, and so learns why a
//! container ended.
//!
//! With systemd's driver the cgroup is gone soon after its last process, and what it counted with it. With version 1 nobody removes
//! it but the daemon, which looks when the container has ended.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use containerd_shim_protos::events::task::TaskOOM;
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use tokio::io::Interest;

use super::events::Events;
use crate::cgroup::Cgroup;
use crate::sys;

/// How many were reported, of one container.
#[derive(Debug, Default)]
pub struct OomKills(AtomicU64);

impl OomKills {
    /// Publishes that there were more, if there were.
    pub fn report(&self, events: &Events, id: &str, count: u64) {
        if self.0.fetch_max(count, Ordering::Relaxed) < count {
            events.publish(&TaskOOM { container_id: id.to_owned(), ..Default::default() });
        }
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
                kills.report(&events, &id, cgroup.oom_kills());
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
