//! All host interfaces in one linker, made once for all components of an ABI; each component is linked once.

use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre};

use super::{Guest, HostState, absent, fields, key_value, outbound_http, redis, variables, wasi, wasi_2023};
use crate::RuntimeError;
use crate::engine::Abi;

/// The linker of all components of an ABI.
pub(crate) struct Linker(wasmtime::component::Linker<HostState>);

impl Linker {
    pub(crate) fn new(engine: &Engine, abi: Abi) -> wasmtime::Result<Self> {
        let mut linker = wasmtime::component::Linker::new(engine);
        wasi::link(&mut linker)?;
        wasi_2023::link(&mut linker)?;
        outbound_http::link(&mut linker)?;
        fields::link(&mut linker)?;
        variables::link(&mut linker)?;
        key_value::link(&mut linker)?;
        redis::link(&mut linker)?;
        if abi == Abi::Async {
            wasi::link_async(&mut linker)?;
            outbound_http::link_async(&mut linker)?;
            fields::link_async(&mut linker)?;
            variables::link_async(&mut linker)?;
            key_value::link_async(&mut linker)?;
            redis::link_async(&mut linker)?;
        }
        Ok(Self(linker))
    }

    /// Links a component, or says which import keeps it from being linked.
    pub(crate) fn link(&self, code: &Component, guest: &Guest) -> Result<InstancePre<HostState>, RuntimeError> {
        if let Some(absent) = absent::find(code, guest)? {
            let mut linker = self.0.clone();
            absent.link(&mut linker).map_err(|error| RuntimeError::Internal(format!("{error:#}")))?;
            return linker.instantiate_pre(code).map_err(|error| refused(&guest.id, &error));
        }
        self.0.instantiate_pre(code).map_err(|error| refused(&guest.id, &error))
    }
}

/// The engine says "component imports instance `NAME`, but a matching implementation was not found in the linker", and below that what about it.
fn refused(component: &str, error: &wasmtime::Error) -> RuntimeError {
    let component = component.to_owned();
    let first = error.to_string();
    let Some(import) = first.split('`').nth(1).map(str::to_owned) else {
        return RuntimeError::Import { component, reason: format!("{error:#}") };
    };
    let cause = error.chain().skip(1).map(ToString::to_string).collect::<Vec<_>>().join(": ");
    if known(&import) && !cause.is_empty() {
        return RuntimeError::Import { component, reason: format!("of {import:?} it expects something else: {cause}") };
    }
    let hint = match import.contains("-rc-") {
        true => ": a release candidate of an interface that is released now; build it with a newer SDK",
        false => "",
    };
    RuntimeError::UnknownImport { component, import, hint }
}

/// Whether this side has the interface, in whatever version fits.
fn known(import: &str) -> bool {
    let wasi = |version: &str| (version.starts_with("0.2.") || version.starts_with("0.3.")) && !version.contains("-rc");
    match import.split_once('@') {
        Some((name, version)) => {
            let packages =
                ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:http/", "wasi:io/", "wasi:random/", "wasi:sockets/"];
            packages.iter().any(|package| name.starts_with(package)) && wasi(version)
                || name.starts_with("fermyon:spin/")
                || name.starts_with("spin:")
        }
        None => false,
    }
}
