//! The bench itself: each figure can be measured, and the results are what they are said to be. No time, size or ratio is judged here. And the work that
//! `scripts/profile.sh` has done.

use std::fs;
use std::process::Command;

use serde_json::Value;

/// Figures that are there whatever the scale, by their beginning.
const FIGURES: [&str; 20] = [
    "start/first 200",
    "start/ctr run -d returns",
    "start/from the bundle to the first 200",
    "start/the shim's own part, to the first 200",
    "start/always the same work, before each round",
    "start/first time on a node",
    "start/first time on a node, Python",
    "start/first 200, Python",
    "memory/first app",
    "memory/each further app",
    "throughput/fresh instances, WASI 0.2/1 connections",
    "throughput/reused instances, WASI 0.2/1 connections",
    "throughput/reused instances, WASI 0.2/1 connections/processor",
    "throughput/reused instances, WASI 0.3/1 connections/p99",
    "redis/a line for each message",
    "redis/a command for each message",
    "size/binary",
    "growth/1 apps/memory",
    "growth/1 routes/throughput",
    "growth/1 files/start",
];

#[test]
fn every_figure_is_measured_and_written() {
    let out = tempfile::tempdir().expect("a temporary directory");
    let output = Command::new(env!("CARGO_BIN_EXE_bench")).arg("--smoke").arg("--out").arg(out.path()).output();
    let output = output.expect("the bench can be run");
    assert!(output.status.success(), "{}", harness::process::said(&output));
    let read = |name: &str| fs::read_to_string(out.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let results: Vec<Value> = serde_json::from_str(&read("results.json")).expect("results.json is a list");
    for figure in FIGURES {
        assert!(results.iter().any(|result| result["figure"] == figure), "no {figure} among\n{}", read("table.md"));
    }
    results.iter().for_each(check);
    for plot in ["ratios.svg", "throughput.svg", "growth-apps-start.svg", "growth-apps-memory.svg", "growth-files-start.svg"] {
        assert!(read(plot).starts_with("<svg"), "{plot}");
    }
}

#[test]
fn the_work_that_a_profile_is_made_of_can_be_done() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let output = Command::new(env!("CARGO_BIN_EXE_train")).arg(dir.path()).arg("--smoke").output();
    let output = output.expect("the program can be run");
    assert!(output.status.success(), "{}", harness::process::said(&output));
}

/// A number that can be: more than zero, except what may well be zero.
fn check(result: &Value) {
    let figure = result["figure"].as_str().expect("a figure has a name");
    let may_be_zero = figure.starts_with("idle/") || figure.ends_with("/errors");
    let good = |value: &Value| value.as_f64().is_some_and(|value| value > 0.0 || (may_be_zero && value == 0.0));
    assert!(good(&result["value_ours"]), "{result}");
    assert!(result["runs"]["ours"].as_array().is_some_and(|runs| !runs.is_empty() && runs.iter().all(good)), "{result}");
    assert_eq!(result["peer"].is_null(), result["value_peer"].is_null(), "{result}");
    assert_eq!(result["peer"].is_null(), result["runs"]["peer"].is_null(), "{result}");
    assert!(result["peer"].is_null() || good(&result["value_peer"]), "{result}");
}
