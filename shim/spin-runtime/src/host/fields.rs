//! All headers of a message handed to a guest at once, in place of the bindings' functions for it, which copy each name and each value before the engine
//! copies it again: with what Spin tells guests of each request, two dozen allocations a request.
//!
//! The functions of the traits below are wasmtime's own, which it doesn't document for others: another version may want them otherwise, and this will not compile.

use std::mem::MaybeUninit;

use wasmtime::component::__internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LowerContext};
use wasmtime::component::{ComponentType, Linker, Lower, Resource};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi_http::FieldMap;

use super::HostState;

/// The interface and the function, as the bindings name them.
const WASI_0_2: (&str, &str) = ("wasi:http/types@0.2.12", "[method]fields.entries");
const WASI_0_3: (&str, &str) = ("wasi:http/types@0.3.0", "[method]fields.copy-all");

/// To be called when the bindings are linked.
pub(super) fn link(linker: &mut Linker<HostState>) -> Result<()> {
    replace(linker, WASI_0_2)
}

/// To be called when the bindings of 0.3 are linked.
pub(super) fn link_async(linker: &mut Linker<HostState>) -> Result<()> {
    replace(linker, WASI_0_3)
}

fn replace(linker: &mut Linker<HostState>, (interface, function): (&str, &str)) -> Result<()> {
    let result = linker.allow_shadowing(true).instance(interface)?.func_wrap(function, entries);
    linker.allow_shadowing(false);
    result
}

fn entries(store: StoreContextMut<'_, HostState>, (fields,): (Resource<FieldMap>,)) -> Result<(Entries,)> {
    // Shared, not copied.
    Ok((Entries(store.data().table.get(&fields)?.clone()),))
}

/// `list<tuple<string, list<u8>>>`, out of the map itself.
struct Entries(FieldMap);

/// What the component model knows them as.
type Pairs<'a> = [(&'a str, &'a [u8])];

// SAFETY: all of it is that of the type it is lowered as.
unsafe impl ComponentType for Entries {
    type Lower = <Pairs<'static> as ComponentType>::Lower;

    const ABI: CanonicalAbiInfo = <Pairs<'static> as ComponentType>::ABI;
    const MAY_REQUIRE_REALLOC: bool = <Pairs<'static> as ComponentType>::MAY_REQUIRE_REALLOC;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        <Pairs<'static> as ComponentType>::typecheck(ty, types)
    }
}

impl Entries {
    fn pairs(&self) -> Vec<(&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
    }
}

// SAFETY: as above.
unsafe impl Lower for Entries {
    fn linear_lower_to_flat<T>(
        &self,
        context: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        to: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        self.pairs().linear_lower_to_flat(context, ty, to)
    }

    fn linear_lower_to_memory<T>(&self, context: &mut LowerContext<'_, T>, ty: InterfaceType, offset: usize) -> Result<()> {
        self.pairs().linear_lower_to_memory(context, ty, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{self, Abi};
    use crate::host::outbound_http;

    #[test]
    fn what_it_takes_the_place_of_is_there() {
        let mut linker = Linker::new(&engine::without_pool(Abi::Async).unwrap());
        outbound_http::link(&mut linker).unwrap();
        outbound_http::link_async(&mut linker).unwrap();
        for (interface, function) in [WASI_0_2, WASI_0_3] {
            let error = linker.instance(interface).unwrap().func_wrap(function, entries).unwrap_err();
            assert!(error.to_string().contains("defined twice"), "{interface}: {error}");
        }
    }
}
