//! What one instance may take: linear memory over all its memories together, and table elements.

use wasmtime::ResourceLimiter;

/// More elements than any compiler makes, less than would hurt: 8 bytes each, a slot of the pool has room for as many.
const TABLE_ELEMENTS: usize = 100_000;

/// Counts an instance's memory.
#[derive(Debug)]
pub(crate) struct Limits {
    max_memory: usize,
    memory: usize,
    /// Whether growing was ever refused: told when the guest then fails, as it rarely says why.
    pub(crate) exceeded: bool,
}

impl Limits {
    pub(crate) fn new(max_memory: Option<u64>) -> Self {
        let max_memory = max_memory.map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        Self { max_memory, memory: 0, exceeded: false }
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let grown = self.memory.saturating_add(desired.saturating_sub(current));
        if grown > self.max_memory {
            self.exceeded = true;
            return Ok(false);
        }
        if maximum.is_none_or(|maximum| desired <= maximum) {
            self.memory = grown;
        }
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_count_together() {
        let mut limits = Limits::new(Some(100));
        assert!(limits.memory_growing(0, 60, None).unwrap());
        assert!(limits.memory_growing(0, 40, None).unwrap());
        assert!(!limits.memory_growing(40, 41, None).unwrap());
        assert!(limits.exceeded);
    }

    #[test]
    fn a_table_is_bounded() {
        assert!(!Limits::new(None).table_growing(0, TABLE_ELEMENTS + 1, None).unwrap());
    }
}
