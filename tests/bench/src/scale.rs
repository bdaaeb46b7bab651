//! How much is measured.

/// Rounds and sizes of each figure.
#[derive(Debug)]
pub struct Scale {
    /// Rounds of `start`.
    pub starts: usize,
    /// Rounds of everything that takes seconds.
    pub rounds: usize,
    /// Idle apps of `memory`, and replicas of `cluster`.
    pub apps: usize,
    /// Seconds of one run of wrk, which takes whole ones.
    pub wrk_seconds: u64,
    /// Connections of `throughput`.
    pub connections: &'static [u32],
    /// Messages of one run of `redis`.
    pub messages: usize,
    /// Seconds of `idle`.
    pub idle_seconds: u64,
    /// Apps on the node, for `growth`.
    pub growth_apps: &'static [usize],
    /// Routes of an app, for `growth`.
    pub growth_routes: &'static [usize],
    /// Static files of an app, for `growth`.
    pub growth_files: &'static [usize],
}

impl Scale {
    /// All of it: some twenty-five minutes on two cores.
    pub fn full() -> Self {
        Self {
            starts: 20,
            rounds: 3,
            apps: 30,
            wrk_seconds: 5,
            connections: &[1, 32, 128, 512],
            messages: 50_000,
            idle_seconds: 5,
            growth_apps: &[1, 10, 30, 100],
            growth_routes: &[1, 10, 100],
            growth_files: &[1, 100, 1000, 10_000],
        }
    }

    /// Less of it: under five minutes on two cores.
    pub fn quick() -> Self {
        Self { starts: 7, rounds: 1, wrk_seconds: 2, growth_apps: &[1, 10], growth_files: &[1, 100, 1000], ..Self::full() }
    }

    /// Just enough to see that each figure can be measured.
    pub fn smoke() -> Self {
        Self {
            starts: 1,
            rounds: 1,
            apps: 2,
            wrk_seconds: 1,
            connections: &[1, 8],
            messages: 1000,
            idle_seconds: 1,
            growth_apps: &[1, 2],
            growth_routes: &[1, 2],
            growth_files: &[1, 10],
        }
    }
}
