//! The restaurant: lists its menu, takes orders and tells what became of them.
//!
//! Everything that can be decided without the outside world lives in modules that also build
//! natively; [`component`] and [`store`] exist only in the wasm build.

pub mod answer;
#[cfg(target_family = "wasm")]
mod component;
pub mod menu;
pub mod order;
pub mod refusal;
pub mod route;
#[cfg(target_family = "wasm")]
mod store;
