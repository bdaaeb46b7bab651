//! What was measured, as results.json and table.md, and how far it is.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use crate::error::Error;
use crate::{interrupt, plot};

/// One comparison; `ours` and `peer` say what was compared.
#[derive(Debug, Serialize)]
pub struct Figure {
    /// What was measured; up to the first slash it is the name it is asked for by.
    pub figure: String,
    /// Of all values.
    pub unit: &'static str,
    /// Which form of ours.
    pub ours: String,
    /// What it is compared with, if there is such a thing.
    pub peer: Option<String>,
    /// The median of our runs.
    pub value_ours: f64,
    /// The median of the peer's.
    pub value_peer: Option<f64>,
    /// Ours by the peer's; none where the peer's is zero.
    pub ratio: Option<f64>,
    /// Every run, in the order in which they were made.
    pub runs: Runs,
}

/// The runs of both sides.
#[derive(Debug, Serialize)]
pub struct Runs {
    /// Ours.
    pub ours: Vec<f64>,
    /// The peer's.
    pub peer: Option<Vec<f64>>,
}

/// One side of a comparison.
#[derive(Clone, Debug)]
pub struct Side {
    name: String,
    runs: Vec<f64>,
}

impl Side {
    /// What was measured, and its runs, of which there is at least one.
    pub fn new(name: &str, runs: Vec<f64>) -> Self {
        Self { name: name.to_owned(), runs }
    }
}

/// All figures of one run of the bench.
#[derive(Debug)]
pub struct Report {
    dir: PathBuf,
    began: Instant,
    figures: Vec<Figure>,
}

impl Report {
    /// Into this directory; what an earlier run left there goes.
    pub fn new(dir: &Path) -> Result<Self, Error> {
        fs::create_dir_all(dir).map_err(Error::io(dir))?;
        for entry in fs::read_dir(dir).map_err(Error::io(dir))?.flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|end| end == "svg" || end == "json" || end == "md") {
                fs::remove_file(&path).map_err(Error::io(&path))?;
            }
        }
        Ok(Self { dir: dir.to_owned(), began: Instant::now(), figures: Vec::new() })
    }

    /// Where a file of this name goes.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Says what is being done, and after how long; an error if that is no longer wanted.
    pub fn step(&self, what: &str) -> Result<(), Error> {
        interrupt::check()?;
        println!("[{:4} s] {what}", self.began.elapsed().as_secs());
        Ok(())
    }

    /// Notes a comparison.
    pub fn add(&mut self, figure: impl Into<String>, unit: &'static str, ours: Side, peer: Option<Side>) {
        let value_ours = median(&ours.runs);
        let value_peer = peer.as_ref().map(|peer| median(&peer.runs));
        let ratio = value_peer.filter(|value| *value != 0.0).map(|value| value_ours / value);
        let (peer, peer_runs) = peer.map(|peer| (peer.name, peer.runs)).unzip();
        let runs = Runs { ours: ours.runs, peer: peer_runs };
        self.figures.push(Figure { figure: figure.into(), unit, ours: ours.name, peer, value_ours, value_peer, ratio, runs });
    }

    /// Writes what there is so far.
    pub fn write(&self) -> Result<(), Error> {
        let json = serde_json::to_string_pretty(&self.figures).expect("figures are finite numbers and text");
        for (name, text) in [("results.json", json + "\n"), ("table.md", self.table())] {
            let path = self.path(name);
            fs::write(&path, text).map_err(Error::io(path))?;
        }
        plot::ratios(&self.path("ratios.svg"), &self.figures)
    }

    /// The table: minimum, median and maximum of both sides, and the ratio of the medians.
    pub fn table(&self) -> String {
        let mut table = format!("{}\n\n", machine());
        table += "| figure | unit | ours | min | median | max | peer | min | median | max | ours / peer |\n";
        table += "|---|---|---|--:|--:|--:|---|--:|--:|--:|--:|\n";
        for figure in &self.figures {
            let Figure { figure: name, unit, ours, peer, ratio, runs, .. } = figure;
            let peers = runs.peer.as_deref().map_or_else(|| " | | ".to_owned(), spread);
            let (peer, ratio) =
                (peer.as_deref().unwrap_or_default(), ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default());
            let _never_fails =
                writeln!(table, "| {name} | {unit} | {ours} | {} | {peer} | {peers} | {ratio} |", spread(&runs.ours));
        }
        table
    }
}

/// Processor, how many, and kernel.
fn machine() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("", |(_, name)| name);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{cores} cores, {model}, Linux {}", kernel.trim())
}

/// `min | median | max`
fn spread(runs: &[f64]) -> String {
    let least = runs.iter().copied().fold(f64::INFINITY, f64::min);
    let most = runs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{} | {} | {}", short(least), short(median(runs)), short(most))
}

/// Three digits at least, no fraction that says nothing.
fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The middle one of at least one, or the mean of the two in the middle.
pub fn median(runs: &[f64]) -> f64 {
    let mut sorted = runs.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(dir: &Path) -> Report {
        let mut report = Report::new(dir).expect("a directory");
        report.add(
            "start/first 200",
            "ms",
            Side::new("plain", vec![3.0, 1.0, 2.0]),
            Some(Side::new("runc", vec![4.0, 2.0, 4.0, 6.0])),
        );
        report.add("size", "bytes", Side::new("shim", vec![1e7]), None);
        report
    }

    #[test]
    fn values_are_medians_and_the_ratio_is_theirs() {
        let dir = tempfile::tempdir().expect("a directory");
        let figure = &report(dir.path()).figures[0];
        assert_eq!((figure.value_ours, figure.value_peer, figure.ratio), (2.0, Some(4.0), Some(0.5)));
    }

    #[test]
    fn the_table_shows_both_sides_and_leaves_out_what_is_not_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let table = report(dir.path()).table();
        assert!(
            table.contains("| start/first 200 | ms | plain | 1.00 | 2.00 | 3.00 | runc | 2.00 | 4.00 | 6.00 | 0.50 |"),
            "{table}"
        );
        assert!(table.contains("| size | bytes | shim | 10000000 | 10000000 | 10000000 |  |  | |  |  |"), "{table}");
    }

    #[test]
    fn results_are_a_list_with_null_where_there_is_no_peer() {
        let dir = tempfile::tempdir().expect("a directory");
        report(dir.path()).write().expect("it can be written");
        let text = fs::read_to_string(dir.path().join("results.json")).expect("it was written");
        let results: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(results[1]["runs"], serde_json::json!({ "ours": [1e7], "peer": null }));
    }
}
