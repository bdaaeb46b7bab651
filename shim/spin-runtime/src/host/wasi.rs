//! WASI 0.2 and 0.3: clocks, randomness, the environment, read-only files, sockets to allowed addresses.

use std::sync::Arc;

use wasmtime::component::Linker;
use wasmtime_wasi::{FsPerms, WasiCtx};

use super::stdio::GuestOutput;
use super::{Guest, HostState};
use crate::output::Stdio;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)
}

pub(super) fn link_async(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p3::add_to_linker(linker)
}

/// The context of a new instance.
pub(super) fn context(guest: &Arc<Guest>) -> wasmtime::Result<WasiCtx> {
    let mut builder = WasiCtx::builder();
    let Stdio { stdout, stderr } = &guest.services.stdio;
    builder.envs(&guest.env).stdout(GuestOutput::new(stdout)).stderr(GuestOutput::new(stderr));
    if let Some(files) = &guest.files {
        builder.preopened_dir(files, "/", FsPerms::ReadOnly)?;
    }
    guest.volumes.iter().try_for_each(|volume| volume.preopen(&mut builder))?;
    // Looking up names is a way out of its own. Sockets may always be made: it is their connecting that is asked about.
    builder.allow_tcp(true).allow_udp(true).allow_ip_name_lookup(guest.egress.is_open());
    let egress = guest.egress.clone();
    builder.socket_addr_check(move |address, usage| {
        let allowed = egress.may_use(address, usage);
        Box::pin(async move { allowed })
    });
    Ok(builder.build())
}
