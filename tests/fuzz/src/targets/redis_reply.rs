//! What a Redis server answers: read from its protocol by the client's own parser, then by us.

use spin_runtime::redis_reply::{Item, items};

/// A guest is given no more items, and no more bytes, than the server sent.
pub(super) fn check(input: &[u8]) -> bool {
    let Ok(value) = redis::parse_redis_value(input) else { return false };
    match items(value) {
        Ok(items) => {
            assert!(items.len() <= input.len(), "{} items of {} bytes", items.len(), input.len());
            let bytes: usize = items.iter().map(size).sum();
            assert!(bytes <= MAX_GROWTH * input.len(), "{bytes} bytes of {}", input.len());
            true
        }
        Err(_) => false,
    }
}

/// A floating-point number such as `1e300` is written with all of its digits.
const MAX_GROWTH: usize = 80;

fn size(item: &Item) -> usize {
    match item {
        Item::Nil | Item::Int64(_) => 1,
        Item::Status(text) => text.len(),
        Item::Binary(bytes) => bytes.len(),
    }
}
