//! What every process of the shim shares: the messages between them ([`link`], [`plan`]), cgroups, standard streams, and the system calls
//! below these.
//!
//! The rest of the shim is the binary. These modules are a library because tests/fuzz reads the messages with the same code.

pub mod cgroup;
pub mod link;
pub mod plan;
pub mod stdio;
pub mod sys;
pub mod warnings;
