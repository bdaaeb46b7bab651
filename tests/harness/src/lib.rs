//! Real parts for the end-to-end tests: containerd, Redis, a registry, and ways to ask them.
//!
//! Everything a test starts ends with the value that started it, also when the test fails. A part that is missing fails the test: nothing
//! here skips.

pub mod app;
pub mod cgroup;
pub mod cluster;
pub mod containerd;
pub mod cri;
pub mod http;
pub mod image;
pub mod load;
pub mod process;
pub mod redis;
pub mod registry;
pub mod shim;
pub mod wait;

pub use app::SpinApp;
pub use containerd::{Containerd, Release, Task};
pub use redis::Redis;
pub use registry::Registry;
pub use wait::wait_for;

/// The value of an environment variable that `scripts/test.sh` sets; a test run without it fails and says how to run it.
pub fn required_env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests by `make test`"))
}
