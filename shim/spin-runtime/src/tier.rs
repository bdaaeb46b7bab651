//! An app's instances come from two pools: a small one made at its start, and one for all the others, made when the first is full for the first time.
//!
//! A pool's size is paid for at every start and by every idle app: each place for an instance is two entries in the kernel's list of mappings (and the
//! system call that makes them) and some hundred bytes of tables. Few apps ever have more than a handful of requests that wait in an instance at once.

use std::sync::OnceLock;

/// Places of the first pool: two for each request in work, as one instance may wait for its next while another works.
const FIRST: u32 = 64;

/// One of the two pools.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Tier {
    /// Made at the start.
    First,
    /// Made when it is needed.
    Rest,
}

impl Tier {
    /// Its part of so many places.
    pub(crate) fn of(self, places: u32) -> u32 {
        match self {
            Self::First => places.min(FIRST),
            Self::Rest => places.saturating_sub(FIRST),
        }
    }
}

/// What there is of a component for each pool.
pub(crate) struct Tiered<T> {
    first: T,
    rest: OnceLock<T>,
}

impl<T> Tiered<T> {
    /// With what there is from the start.
    pub(crate) fn new(first: T) -> Self {
        Self { first, rest: OnceLock::new() }
    }

    /// What there is for that pool, made if it is not there.
    pub(crate) fn get<E>(&self, tier: Tier, make: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        match (tier, self.rest.get()) {
            (Tier::First, _) => Ok(&self.first),
            (Tier::Rest, Some(rest)) => Ok(rest),
            // Made twice where two come at once: the second is dropped.
            (Tier::Rest, None) => make().map(|made| self.rest.get_or_init(|| made)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tiers_together_are_all_places() {
        for places in [2, 63, 64, 65, 1024] {
            assert_eq!(Tier::First.of(places) + Tier::Rest.of(places), places);
        }
        assert_eq!(Tier::Rest.of(64), 0);
    }

    #[test]
    fn the_rest_is_made_once_and_again_after_a_failure() {
        let tiered = Tiered::new(1);
        assert_eq!(tiered.get(Tier::First, || Err(())), Ok(&1));
        assert_eq!(tiered.get(Tier::Rest, || Err(())), Err(()));
        assert_eq!(tiered.get(Tier::Rest, || Ok::<_, ()>(2)), Ok(&2));
        assert_eq!(tiered.get(Tier::Rest, || Err(())), Ok(&2));
    }
}
