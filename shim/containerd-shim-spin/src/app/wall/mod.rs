//! The second wall: limits of the app's process that also hold for native code, should a guest break out of the engine.
//!
//! Programs that are run in the container later are no children of this process, and have the pod's own limits.

mod calls;
mod files;

use anyhow::Result;
use spin_runtime::Paths;

use crate::syscalls::SyscallFilter;

/// The wall, of which the first half stands. It takes two steps, because Landlock binds only the calling thread and the threads
/// that it makes later.
pub struct Wall(SyscallFilter);

impl Wall {
    /// Restricts the files that the process opens to these paths, and prepares the filter of system calls, which takes half a
    /// millisecond. For a process with one thread, before the app is built.
    pub fn begin(paths: &Paths) -> Result<Self> {
        let has_landlock = files::restrict(paths)?;
        Ok(Self(calls::filter(has_landlock, !paths.write.is_empty())?))
    }

    /// Restricts all threads to the system calls that serving takes, for good; docs/system-calls.md lists them. For a process
    /// whose port is bound, before the first request.
    pub fn close(mut self) -> Result<()> {
        self.0.load_for_all_threads()
    }
}
