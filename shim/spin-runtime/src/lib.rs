//! The engine, precompiled components, host interfaces: everything between a trigger and a guest.
//!
//! A trigger asks a [`Component`] for a handler and hands it requests or messages; stores, linkers and instances stay in here. The engine's configurations are in `engine`; precompiled code comes from [`precompile`] by way of [`cache`].

pub mod cache;
mod code;
mod component;
mod config;
mod engine;
mod error;
mod host;
pub mod http;
mod instance;
mod internal;
mod limits;
mod message;
mod network;
pub mod output;
mod paths;
mod permits;
pub mod precompile;
mod redis_address;
mod redis_limit;
pub mod redis_reply;
mod report;
mod runtime;
mod ticker;
mod tier;
mod volumes;

pub use component::{Component, HttpExport, RedisExport};
pub use engine::EngineSettings;
pub use error::RuntimeError;
pub use host::outbound_http::{H2cServerError, H2cServers};
pub use http::{HttpError, HttpHandler, HttpOptions, Reuse};
pub use internal::{InternalAnswer, InternalHandler, InternalTarget};
pub use message::{MessageError, MessageHandler, MessageOptions};
pub use network::{BlockedAddress, ConnectError, Network};
pub use paths::Paths;
pub use permits::Waiting;
pub use redis_address::{RedisAddress, Transport};
pub use runtime::{Code, Inputs, Runtime};
pub use wasmtime;
