//! The HTTP trigger with real guests and real sockets. The guests are built by tests/components; SPIN_TEST_COMPONENTS names
//! the directory they are in.

mod abandoned;
mod answering;
mod chaining;
mod client;
mod draining;
mod eviction;
mod fixture;
mod frames;
mod idle;
mod limits;
mod protocol;
mod resizing;
mod starting;
mod stuck;
mod time_limits;
mod updates;
