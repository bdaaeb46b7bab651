//! The allocator of every part, chosen by measurement: docs/decisions/0003-allocator.md.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Its settings where the environment has none, for the parts with one thread that allocates. A C program's `const char *`, whose name the library
/// fixes.
// SAFETY: nothing else has that name, and jemalloc reads a text up to its zero.
#[unsafe(export_name = "_rjem_malloc_conf")]
static ONE_THREAD: &[u8; 10] = b"narenas:1\0";

/// The environment variable that it reads before `main`, whose name the library fixes too.
pub const SETTINGS: &str = "_RJEM_MALLOC_CONF";

/// Its settings for so many threads that allocate: an arena each. Its own choice, four for each of the machine's processors, is made for large
/// servers and costs each process a quarter of a megabyte.
pub fn settings(threads: usize) -> String {
    format!("narenas:{}", threads.max(1))
}
