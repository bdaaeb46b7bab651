//! Directories of volumes that components see. An instance sees them as they are when it is made, and what changes in them later.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use cap_primitives::fs::open_dir;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use spin_app::VolumeDirectory;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

/// A directory of a volume, for all instances of a component.
pub(crate) struct OpenVolume {
    /// The volume itself, which stays the same directory, whatever is replaced in it.
    volume: File,
    directory: VolumeDirectory,
}

impl OpenVolume {
    /// Opens it; fails where it is a file. The image's own links don't lead to it: they could lead anywhere.
    pub(crate) fn open(directory: &VolumeDirectory) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let volume = openat2(CWD, format!("/{}", directory.volume), flags, Mode::empty(), resolve)?;
        let open = Self { volume: volume.into(), directory: directory.clone() };
        open.inner().map(|_opened| open)
    }

    /// The directory in the volume, where that is not the volume itself. It is looked up each time: a ConfigMap's directories are
    /// links, which lead elsewhere after a change. No link leads out of the volume.
    fn inner(&self) -> io::Result<Option<File>> {
        let below = &self.directory.below;
        if below.is_empty() { Ok(None) } else { open_dir(&self.volume, Path::new(below)).map(Some) }
    }

    /// Gives it to an instance.
    pub(crate) fn preopen(&self, builder: &mut WasiCtxBuilder) -> wasmtime::Result<()> {
        let inner = self.inner()?;
        let number = inner.as_ref().unwrap_or(&self.volume).as_raw_fd();
        builder.preopened_dir(format!("/proc/self/fd/{number}"), format!("/{}", self.directory.guest), FsPerms::ReadOnly)?;
        Ok(())
    }
}
