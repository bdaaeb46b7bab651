//! The runtime with real guests, built by tests/components; SPIN_TEST_COMPONENTS names the directory they are in.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod bodies;
mod building;
mod fixture;
mod h2c;
mod http;
mod messages;
mod networks;
mod precompiled;
mod redis;
mod reuse;
mod sockets;
mod stores;
mod variables;
