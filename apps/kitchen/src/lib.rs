//! The kitchen: hears of orders on a Redis channel, cooks each for a while and marks it ready.
//!
//! What can be decided without the outside world lives in modules that also build natively;
//! [`component`] and [`store`] exist only in the wasm build.

#[cfg(target_family = "wasm")]
mod component;
pub mod config;
pub mod event;
#[cfg(target_family = "wasm")]
mod store;
