//! `wasi:http` and `wasi:io` of 2023-10-18, a release candidate of WASI 0.2 that the SDKs of Spin 2 were made for.
//!
//! Its resources are those of 0.2: only functions differ, and they call the released ones. What else such components import is WASI preview 1,
//! which the adapter turns into 0.2.

mod http;
mod io;

use wasmtime::component::Linker;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::http::types as p2;

use super::{HostState, Spin};

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    bindings::wasi::io::poll::add_to_linker::<_, Spin>(linker, |state| state)?;
    bindings::wasi::io::streams::add_to_linker::<_, Spin>(linker, |state| state)?;
    bindings::wasi::http::types::add_to_linker::<_, Spin>(linker, |state| state)?;
    bindings::wasi::http::outgoing_handler::add_to_linker::<_, Spin>(linker, |state| state)
}

mod bindings {
    #![allow(missing_docs, reason = "generated code")]

    wasmtime::component::bindgen!({
        path: "wit",
        world: "shim:host/wasi-2023-10-18",
        imports: { default: async | trappable },
        trappable_error_type: { "wasi:io/streams.stream-error" => wasmtime_wasi::p2::StreamError },
        with: {
            "wasi:io/poll.pollable": wasmtime_wasi::p2::DynPollable,
            "wasi:io/streams.input-stream": wasmtime_wasi::p2::DynInputStream,
            "wasi:io/streams.output-stream": wasmtime_wasi::p2::DynOutputStream,
            "wasi:io/streams.error": wasmtime_wasi::p2::IoError,
            "wasi:http/types.fields": wasmtime_wasi_http::FieldMap,
            "wasi:http/types.incoming-request": wasmtime_wasi_http::p2::types::HostIncomingRequest,
            "wasi:http/types.outgoing-request": wasmtime_wasi_http::p2::types::HostOutgoingRequest,
            "wasi:http/types.response-outparam": wasmtime_wasi_http::p2::types::HostResponseOutparam,
            "wasi:http/types.incoming-response": wasmtime_wasi_http::p2::types::HostIncomingResponse,
            "wasi:http/types.incoming-body": wasmtime_wasi_http::p2::body::HostIncomingBody,
            "wasi:http/types.future-trailers": wasmtime_wasi_http::p2::body::HostFutureTrailers,
            "wasi:http/types.outgoing-response": wasmtime_wasi_http::p2::types::HostOutgoingResponse,
            "wasi:http/types.outgoing-body": wasmtime_wasi_http::p2::body::HostOutgoingBody,
            "wasi:http/types.future-incoming-response": wasmtime_wasi_http::p2::types::HostFutureIncomingResponse,
        },
    });
}
