//! What a guest finds on this side: the host interfaces, one file each.
//!
//! | file | interfaces |
//! |---|---|
//! | [`wasi`] | `wasi:cli`, `clocks`, `filesystem`, `io`, `random`, `sockets` of 0.2 and 0.3 |
//! | [`wasi_2023`] | `wasi:http`, `wasi:io` of 2023-10-18 |
//! | [`stdio`] | where a guest's stdout and stderr go |
//! | [`network`] | `allowed_outbound_hosts` and blocked networks, asked on every way out |
//! | [`fields`] | of `wasi:http/types`, all headers at once |
//! | [`outbound_http`] | `wasi:http/outgoing-handler@0.2`, `wasi:http/client@0.3` |
//! | [`variables`] | `fermyon:spin/variables@2.0.0`, `spin:variables/variables@3.0.0`, `wasi:config/store` |
//! | [`key_value`] | `fermyon:spin/key-value@2.0.0`, `spin:key-value/key-value@3.0.0`, `wasi:keyvalue` |
//! | [`redis`] | `fermyon:spin/redis@2.0.0`, `spin:redis/redis@3.0.0` |
//! | [`absent`] | what SDKs import always though few guests use it, and which is not there |

mod absent;
mod fields;
pub(crate) mod key_value;
mod linker;
pub(crate) mod network;
pub(crate) mod outbound_http;
pub(crate) mod redis;
mod state;
mod stdio;
pub(crate) mod variables;
mod wasi;
mod wasi_2023;

pub(crate) use linker::Linker;
pub(crate) use state::{Guest, HostState, Services, Spin};
