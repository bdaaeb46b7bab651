//! The engine's two configurations, each for precompiling and for running.

use wasmtime::{Config, Enabled, Engine, PoolingAllocationConfig};

use crate::tier::Tier;

/// Bytes of an instance's memory that stay mapped for the next instance of the same slot: resetting them is cheaper than faulting them in.
const KEEP_MEMORY: u64 = 2 << 20;
/// The same for its tables, and for the stack it ran on.
const KEEP_TABLE: usize = 1 << 20;
const KEEP_STACK: usize = 64 << 10;
/// The share of the memory limit that slots waiting for their next instance may keep.
const WARM_SHARE: u64 = 4;
const MOST_WARM: u64 = 64;

/// How a component calls and is called, in the component model's words: with the synchronous ABI alone, as up to WASI 0.2, or with the asynchronous
/// one too. It decides the engine, because an engine that knows the asynchronous ABI keeps books about every call, also of components that never
/// use it: an eighth of a small request's time.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Abi {
    /// Synchronous alone.
    Sync,
    /// Synchronous and asynchronous.
    Async,
}

/// What the engine is sized by; nothing in it changes the compiled code.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// How many instances may work at once; a further request waits.
    pub max_instances: u32,
    /// Bytes of linear memory one instance may have, all its memories together.
    pub max_instance_memory: Option<u64>,
    /// Bytes the process may use (the cgroup's limit): decides how much is kept warm.
    pub memory_limit: Option<u64>,
    /// Whether instances come from a pool of slots. Where its address space can't be had they are made one by one in any case.
    pub pooling: bool,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self { max_instances: 1000, max_instance_memory: None, memory_limit: None, pooling: true }
    }
}

impl EngineSettings {
    /// How many instances may exist at once: as many as work may wait for another request.
    pub(crate) fn slots(&self) -> u32 {
        self.max_instances.clamp(1, 1 << 20) * 2
    }

    /// How many slots of a pool may stay warm unused: all of them, together with those of the other pool, within their share of the memory limit.
    fn warm_slots(&self) -> u32 {
        let by_memory = self.memory_limit.map_or(MOST_WARM, |limit| limit / WARM_SHARE / KEEP_MEMORY / 2);
        u32::try_from(by_memory.clamp(4, MOST_WARM)).unwrap_or(u32::MAX)
    }
}

/// The configuration: what decides the compiled code is constant for an ABI, so that code precompiled under any settings runs under any other.
fn config(abi: Abi, tier: Tier, settings: &EngineSettings) -> Config {
    let asynchronous = abi == Abi::Async;
    let mut config = Config::new();
    config.wasm_component_model(true).epoch_interruption(true);
    config.wasm_component_model_async(asynchronous).concurrency_support(asynchronous);
    if settings.pooling {
        config.allocation_strategy(pool(tier, settings));
    }
    config
}

fn pool(tier: Tier, settings: &EngineSettings) -> PoolingAllocationConfig {
    let instances = tier.of(settings.slots());
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_stacks(instances)
        .total_memories(instances.saturating_mul(2))
        .total_tables(instances.saturating_mul(4))
        // Only counted, not reserved: a Python guest is several dozen of them.
        .total_core_instances(instances.saturating_mul(100))
        .max_core_instances_per_component(200)
        .max_component_instance_size(10 << 20)
        .max_core_instance_size(10 << 20)
        .max_memories_per_component(32)
        .max_tables_per_component(64)
        .max_memories_per_module(2)
        .max_tables_per_module(2)
        .table_elements(100_000)
        .linear_memory_keep_resident(KEEP_MEMORY as usize)
        .table_keep_resident(KEEP_TABLE)
        .async_stack_keep_resident(KEEP_STACK)
        .max_unused_warm_slots(settings.warm_slots())
        .pagemap_scan(Enabled::Auto);
    pool
}

/// Makes the engine, without the pool where its address space can't be had (small boards, limits on address space).
pub(crate) fn engine(abi: Abi, tier: Tier, settings: &EngineSettings) -> wasmtime::Result<Engine> {
    match Engine::new(&config(abi, tier, settings)) {
        Err(error) if settings.pooling => {
            log::debug!("no pool of instances: {error:#}");
            without_pool(abi)
        }
        result => result,
    }
}

/// Makes an engine that takes no address space before it needs it; all that compiling needs.
pub(crate) fn without_pool(abi: Abi) -> wasmtime::Result<Engine> {
    Engine::new(&config(abi, Tier::First, &EngineSettings { pooling: false, ..EngineSettings::default() }))
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash, Hasher};

    use super::*;

    fn compatibility(abi: Abi, settings: &EngineSettings) -> u64 {
        let mut hasher = DefaultHasher::new();
        engine(abi, Tier::First, settings).unwrap().precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn settings_do_not_change_the_code() {
        let small = EngineSettings { max_instances: 3, memory_limit: Some(1 << 20), max_instance_memory: Some(1), pooling: true };
        for abi in [Abi::Sync, Abi::Async] {
            let usual = compatibility(abi, &EngineSettings::default());
            assert_eq!(compatibility(abi, &small), usual);
            assert_eq!(compatibility(abi, &EngineSettings { max_instances: 100, ..small.clone() }), usual);
            assert_eq!(compatibility(abi, &EngineSettings { pooling: false, ..small.clone() }), usual);
        }
    }

    #[test]
    fn a_pool_too_large_for_the_address_space_is_done_without() {
        assert!(engine(Abi::Sync, Tier::Rest, &EngineSettings { max_instances: 1 << 20, ..EngineSettings::default() }).is_ok());
    }

    #[test]
    fn warm_slots_follow_the_memory_limit() {
        let slots = |limit| EngineSettings { memory_limit: limit, ..EngineSettings::default() }.warm_slots();
        assert_eq!((slots(None), slots(Some(128 << 20)), slots(Some(0))), (64, 8, 4));
    }
}
