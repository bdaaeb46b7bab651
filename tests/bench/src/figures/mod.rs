//! The figures, one file each.

mod cluster;
mod growth;
mod idle;
mod memory;
mod redis;
mod size;
mod start;
mod throughput;

use clap::ValueEnum;

use crate::error::Error;
use crate::programs::Programs;
use crate::report::Report;
use crate::scale::Scale;

/// What a figure is asked for by.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Name {
    /// Until the first 200 of a container.
    Start,
    /// Of idle apps.
    Memory,
    /// Requests a second, and how long each takes.
    Throughput,
    /// Messages a second.
    Redis,
    /// Wake-ups of an app that nobody asks.
    Idle,
    /// Of the binary.
    Size,
    /// How start, memory and throughput change with the number of apps, routes and files.
    Growth,
    /// Pods, in the cluster that is up.
    Cluster,
}

impl Name {
    /// All that can be measured here.
    pub fn possible() -> Vec<Self> {
        let there = |name: &Self| !matches!(name, Self::Cluster) || cluster::is_up();
        Self::value_variants().iter().copied().filter(there).collect()
    }

    /// Measures it into the report.
    pub fn measure(self, scale: &Scale, programs: &Programs, report: &mut Report) -> Result<(), Error> {
        match self {
            Self::Start => start::measure(scale, programs, report),
            Self::Memory => memory::measure(scale, programs, report),
            Self::Throughput => throughput::measure(scale, programs, report),
            Self::Redis => redis::measure(scale, report),
            Self::Idle => idle::measure(scale, programs, report),
            Self::Size => size::measure(report),
            Self::Growth => growth::measure(scale, programs, report),
            Self::Cluster => cluster::measure(scale, programs, report),
        }
    }
}

/// The guest that most figures are of.
const GUEST: &str = "hello-p2";
