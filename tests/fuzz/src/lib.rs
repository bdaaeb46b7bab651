//! Fuzz targets: each reads untrusted input with the code that reads it in production, and checks what must hold of the result.
//!
//! The same targets run in two ways. `tests/targets.rs` runs the kept inputs (`corpus/TARGET/`) and a fixed number of mutations of them, always the
//! same. `scripts/fuzz.sh` runs them with libFuzzer, which looks for inputs that reach new code. Either way a run of a target also measures memory and
//! processor time ([`Target::run`]).

mod allocation;
pub mod corpus;
mod measure;
mod mutate;
mod target;
mod targets;

pub use measure::{Limits, MAX_PROCESSOR_TIME};
pub use mutate::Mutator;
pub use target::Target;
pub use targets::TARGETS;
