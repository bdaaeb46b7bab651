//! WebAssembly to native code, once per node: components as they are, core modules that carry component types by way of a component.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use sha2::{Digest, Sha256};
use wasmparser::{Encoding, Parser, Payload};

use crate::engine::{self, Abi};
use crate::{RuntimeError, code};

mod componentize;
mod names;

/// Hash of this crate's sources and of the workspace's lock file, by build.rs: any of them may change what [`precompile`] returns.
const SOURCES: &str = env!("SPIN_RUNTIME_SOURCES");

/// What precompiled code depends on besides the WebAssembly itself: part of every cache key, so that code of another version is never found.
///
/// Found out once for the process; that takes part of a millisecond, which a process that waits may as well spend before.
pub fn compatibility() -> &'static str {
    static COMPATIBILITY: LazyLock<String> = LazyLock::new(hash_compatibility);
    &COMPATIBILITY
}

fn hash_compatibility() -> String {
    // The default hasher is the same within one build of this crate, and another build has another version or another engine.
    let mut engine_hash = DefaultHasher::new();
    match engine::without_pool(Abi::Async) {
        Ok(engine) => engine.precompile_compatibility_hash().hash(&mut engine_hash),
        // Nothing can be compiled then, nor found.
        Err(error) => error.to_string().hash(&mut engine_hash),
    }
    let mut hash = Sha256::new();
    hash.update(engine_hash.finish().to_le_bytes());
    hash.update(SOURCES);
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Compiles on all cores. What it returns is loaded by [`crate::Code::Precompiled`] in the same version of this program alone.
pub fn precompile(wasm: &[u8]) -> Result<Vec<u8>, RuntimeError> {
    let component = component(wasm)?;
    if names::are_synchronous(&component).is_ok_and(|synchronous| synchronous)
        && let Ok(code) = precompile_for(Abi::Sync, &component)
    {
        return Ok(code);
    }
    precompile_for(Abi::Async, &component)
}

/// Refused where the component needs the other ABI: the types of functions come first, so that nothing is compiled in vain.
fn precompile_for(abi: Abi, component: &[u8]) -> Result<Vec<u8>, RuntimeError> {
    let engine = engine::without_pool(abi).map_err(|error| RuntimeError::Internal(format!("{error:#}")))?;
    let code = engine.precompile_component(component).map_err(|error| invalid(&error))?;
    Ok(code::unsealed(code, abi))
}

fn invalid(error: &wasmtime::Error) -> RuntimeError {
    RuntimeError::InvalidWasm(format!("{error:#}"))
}

/// The component in the bytes, or of the module in the bytes.
fn component(wasm: &[u8]) -> Result<Cow<'_, [u8]>, RuntimeError> {
    if !wasm.starts_with(b"\0asm") {
        return Err(RuntimeError::NotWasm);
    }
    let start = Parser::new(0).parse_all(wasm).next();
    let component = match start {
        Some(Ok(Payload::Version { encoding: Encoding::Component, .. })) => wasm.into(),
        Some(Ok(Payload::Version { encoding: Encoding::Module, .. })) => componentize::module(wasm)?.into(),
        Some(Err(error)) => return Err(RuntimeError::InvalidWasm(error.to_string())),
        _ => return Err(RuntimeError::InvalidWasm("it ends before it begins".to_owned())),
    };
    names::released(component).map_err(|error| RuntimeError::InvalidWasm(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::SEAL_BYTES;

    fn refusal(wasm: &[u8]) -> RuntimeError {
        precompile(wasm).unwrap_err()
    }

    #[test]
    fn what_is_not_wasm_is_said_to_be_not() {
        assert!(matches!(refusal(b""), RuntimeError::NotWasm));
        assert!(matches!(refusal(b"#!/bin/sh"), RuntimeError::NotWasm));
    }

    #[test]
    fn a_plain_module_is_told_what_to_become() {
        let error = refusal(b"\0asm\x01\0\0\0");
        assert!(matches!(error, RuntimeError::PlainModule) && error.to_string().contains("wasm32-wasip2"));
        assert_eq!(error.exit_code(), 65);
    }

    #[test]
    fn broken_wasm_is_invalid() {
        assert!(matches!(refusal(b"\0asm"), RuntimeError::InvalidWasm(_)));
        assert!(matches!(refusal(b"\0asm\x0d\0\x01\0\x01"), RuntimeError::InvalidWasm(_)));
        assert!(matches!(refusal(b"\0asm\x01\0\0\0\x01\xff\xff"), RuntimeError::InvalidWasm(_)));
    }

    /// The mark of the code of a component with that import.
    fn mark(import: &str) -> u8 {
        let component = wat::parse_str(format!("(component {import})")).unwrap();
        precompile(&component).unwrap().iter().rev().nth(SEAL_BYTES).copied().unwrap()
    }

    #[test]
    fn the_asynchronous_engine_is_for_components_that_need_it() {
        let synchronous = mark(r#"(import "wasi:cli/environment@0.2.0" (instance))"#);
        let by_name = mark(r#"(import "wasi:cli/environment@0.3.0" (instance))"#);
        let of_spin_4 = mark(r#"(import "spin:variables/variables@3.0.0" (instance))"#);
        let by_type = mark(r#"(import "a" (func async))"#);
        assert_ne!(synchronous, by_type);
        assert_eq!((by_name, of_spin_4), (by_type, by_type));
    }

    #[test]
    fn compatibility_is_the_same_each_time() {
        assert_eq!(hash_compatibility(), compatibility());
        assert_eq!(compatibility().len(), 32);
    }
}
