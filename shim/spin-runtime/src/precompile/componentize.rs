//! Core modules that carry component types, as toolchains for `wasm32-wasip1` make them, become components by wit-component and the adapter of
//! WASI preview 1.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

use crate::RuntimeError;

/// Part of what precompiled code depends on.
const ADAPTER: &[u8] = WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;

/// The component of a module.
pub(super) fn module(wasm: &[u8]) -> Result<Vec<u8>, RuntimeError> {
    let mut preview1 = false;
    let mut typed = false;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(|error| RuntimeError::InvalidWasm(error.to_string()))? {
            Payload::CustomSection(section) => typed |= section.name().starts_with("component-type"),
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    preview1 |= import.map_err(|error| RuntimeError::InvalidWasm(error.to_string()))?.module == NAME;
                }
            }
            _ => {}
        }
    }
    if !typed {
        return Err(RuntimeError::PlainModule);
    }
    encode(wasm, preview1).map_err(|error| RuntimeError::Componentize(format!("{error:#}")))
}

fn encode(wasm: &[u8], preview1: bool) -> Result<Vec<u8>, impl std::fmt::Display> {
    let encoder = ComponentEncoder::default().validate(true).module(wasm)?;
    let encoder = if preview1 { encoder.adapter(NAME, ADAPTER)? } else { encoder };
    { encoder }.encode()
}
