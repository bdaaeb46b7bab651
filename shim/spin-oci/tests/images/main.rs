//! Images as they come from outside: right ones, broken ones, and those made to do harm.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod archive;
mod artifact;
mod command;
mod names;
mod pack;
mod parsers;
mod registry;
mod rootfs;
mod server;
mod support;
mod tokens;
