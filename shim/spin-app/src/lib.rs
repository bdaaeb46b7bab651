//! What a Spin app is: manifest, locked app, ids, variable expressions, allowed hosts.
//!
//! Pure: no file is read, nothing is fetched, nothing waits. Everything here is made from text that came from outside and is not trusted.

pub mod locked;

pub use locked::{ContentRef, LockedApp, LockedComponent, LockedFile, LockedSource, LockedTrigger, LockedVariable};
