//! The Redis trigger with real guests and a real Redis. The guests are built by tests/components; SPIN_TEST_COMPONENTS names
//! the directory they are in; redis-server is found on the PATH.

mod fixture;
mod handling;
mod lifecycle;
mod server;
mod starting;
