//! What a guest is given of a reply to a Redis command of its choice. The server that sent the reply is not trusted.

pub use crate::host::redis::values::{Failure, Item, items};
