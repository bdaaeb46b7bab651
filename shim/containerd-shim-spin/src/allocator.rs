//! The allocator of every part, chosen by measurement: docs/decisions/0003-allocator.md.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// The environment variable that it reads before `main`, whose name the library fixes.
pub const SETTINGS: &str = "_RJEM_MALLOC_CONF";

/// Its settings for so many threads that allocate: an arena each. Its own choice, four for each of the machine's processors, is made for large
/// servers and costs each process a quarter of a megabyte.
pub fn settings(threads: usize) -> String {
    format!("narenas:{}", threads.max(1))
}
