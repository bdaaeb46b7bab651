//! Images as they come from outside: right ones, broken ones, and those made to do harm.

mod archive;
mod artifact;
mod command;
mod pack;
mod parsers;
mod registry;
mod rootfs;
mod server;
mod support;
