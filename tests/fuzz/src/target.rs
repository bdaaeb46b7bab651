//! A target: what reads the input, and what it may take.

use crate::measure::{Limits, within_limits};

/// One reader of untrusted input.
#[derive(Clone, Copy)]
pub struct Target {
    /// The name of its directory in `corpus/` and of its file in `dictionaries/`.
    pub name: &'static str,
    /// Reads an input, and returns whether it was accepted; panics where something does not hold that must.
    pub check: fn(&[u8]) -> bool,
    /// The memory that this may take.
    pub limits: Limits,
    /// How many mutations the test tries.
    pub mutations: u32,
}

impl Target {
    /// Checks an input within the limits, and returns whether it was accepted; panics where the check does, or where it takes more.
    pub fn run(&self, input: &[u8]) -> bool {
        within_limits(self.limits.of(input.len()), || (self.check)(input))
    }

    /// The target of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        crate::TARGETS.iter().find(|target| target.name == name)
    }
}
