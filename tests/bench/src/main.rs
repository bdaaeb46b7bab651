//! `bench`: the shim beside `wasmtime serve`, a native server and runc, on this machine, in one run, in turns.
//!
//! It says what it measured, never whether that is good; it fails only where something could not be measured. `scripts/bench.sh` builds what it
//! needs and sets the environment of the harness.

mod error;
mod figures;
mod interrupt;
mod node;
mod peers;
mod plot;
mod probe;
mod proc;
mod programs;
mod report;
mod scale;
mod wrk;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::error::Error;
use crate::figures::Name;
use crate::programs::Programs;
use crate::report::Report;
use crate::scale::Scale;

/// Measures the shim beside its peers; writes results.json, table.md and plots.
#[derive(Debug, Parser)]
struct Arguments {
    /// Which figures; all of them otherwise, those of the cluster only where it is up.
    figures: Vec<Name>,
    /// Fewer rounds: under five minutes.
    #[arg(long)]
    quick: bool,
    /// Just enough to see that it works.
    #[arg(long, hide = true)]
    smoke: bool,
    /// Where the results go.
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    out: PathBuf,
    /// wasmtime's command line tool; without it, there is no comparison with `wasmtime serve`.
    #[arg(long, value_name = "PROGRAM")]
    wasmtime: Option<PathBuf>,
}

fn main() -> ExitCode {
    interrupt::watch();
    match measure(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: Arguments) -> Result<(), Error> {
    let scale = match (arguments.smoke, arguments.quick) {
        (true, _) => Scale::smoke(),
        (_, true) => Scale::quick(),
        _ => Scale::full(),
    };
    let programs = Programs::find(arguments.wasmtime)?;
    let mut report = Report::new(&arguments.out)?;
    let chosen = if arguments.figures.is_empty() { Name::possible() } else { arguments.figures };
    for name in chosen {
        name.measure(&scale, &programs, &mut report)?;
        report.write()?;
    }
    println!("\n{}", report.table());
    report.step(&format!("done; results.json, table.md and plots are in {}", arguments.out.display()))
}
