//! `start`: from `ctr run -d` to the first 200.

use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use harness::SpinApp;
use harness::app::cached;

use super::GUEST;
use crate::error::Error;
use crate::node::{Node, PLAIN, Service, Started};
use crate::peers::Wasmtime;
use crate::programs::{self, Programs};
use crate::report::{Report, Side};
use crate::scale::Scale;

/// A guest of 37 MB, an interpreter and its library.
const PYTHON: &str = "hello-python";

/// Of a start.
type Part = fn(&Started) -> Duration;

/// Starts of images that were seen before, and of one that was not.
pub fn measure(scale: &Scale, programs: &Programs, report: &mut Report) -> Result<(), Error> {
    report.step("start: containerd and images")?;
    let node = Node::new();
    programs::in_large_pieces(node.containerd().bin())?;
    let app = SpinApp::http(GUEST, "");
    let services = [node.plain("start", &app), node.artifact("start", &app), node.native("start", programs, None)?];
    seen_before(&node, &services, scale, report)?;
    let wasmtime = programs.wasmtime.as_deref().map(Wasmtime::new).transpose()?;
    first_time(&node, &services[0], GUEST, "start/first time on a node", wasmtime.as_ref(), scale, report)?;
    let python = node.plain("start-python", &SpinApp::http(PYTHON, ""));
    first_time(&node, &python, PYTHON, "start/first time on a node, Python", wasmtime.as_ref(), scale, report)?;
    let again = (0..scale.rounds).map(|_| Ok(milliseconds(node.try_start(&python)?.first_200)));
    report.add("start/first 200, Python", "ms", Side::new(PLAIN, again.collect::<Result<_, Error>>()?), None);
    Ok(())
}

fn seen_before(node: &Node, services: &[Service; 3], scale: &Scale, report: &mut Report) -> Result<(), Error> {
    for service in services {
        node.try_start(service)?;
    }
    let mut starts = [const { Vec::new() }; 3];
    for round in 1..=scale.starts {
        report.step(&format!("start: round {round} of {}", scale.starts))?;
        for (service, starts) in services.iter().zip(&mut starts) {
            starts.push(node.try_start(service)?);
        }
    }
    let (mut own, mut steadiness) = ([const { Vec::new() }; 3], Vec::new());
    for round in 1..=scale.starts {
        report.step(&format!("start, the shim's own part: round {round} of {}", scale.starts))?;
        steadiness.push(milliseconds(fixed_work()));
        for (service, own) in services.iter().zip(&mut own) {
            own.push(milliseconds(node.own_part(service)?));
        }
    }
    let parts: [(&str, Part); 3] = [
        ("start/first 200", |start| start.first_200),
        ("start/ctr run -d returns", |start| start.returned),
        ("start/from the bundle to the first 200", |start| start.from_bundle),
    ];
    for (figure, part) in parts {
        compare(
            report,
            figure,
            services,
            starts.each_ref().map(|starts| starts.iter().map(|start| milliseconds(part(start))).collect()),
        );
    }
    compare(report, "start/the shim's own part, to the first 200", services, own);
    report.add("start/always the same work, before each round", "ms", Side::new("this machine", steadiness), None);
    Ok(())
}

/// How long the machine takes over work that is always the same: stores and loads. Where somebody else has the other half of a core, that takes up to
/// three times as long, and so may a start.
fn fixed_work() -> Duration {
    let began = Instant::now();
    black_box((0..500_000_u64).fold(0, |sum, step| black_box(sum + step)));
    began.elapsed()
}

/// Both of ours beside the peer.
fn compare(report: &mut Report, figure: &str, services: &[Service; 3], runs: [Vec<f64>; 3]) {
    let side = |which: usize| Side::new(services[which].name, runs[which].clone());
    for ours in [0, 1] {
        report.add(figure, "ms", side(ours), Some(side(2)));
    }
}

/// Beside the compiling alone, which is most of it.
fn first_time(
    node: &Node,
    service: &Service,
    name: &str,
    figure: &str,
    wasmtime: Option<&Wasmtime>,
    scale: &Scale,
    report: &mut Report,
) -> Result<(), Error> {
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for round in 1..=scale.rounds {
        report.step(&format!("{figure}: round {round} of {}", scale.rounds))?;
        forget(name)?;
        ours.push(milliseconds(node.try_start(service)?.first_200));
        peer.extend(wasmtime.map(|wasmtime| milliseconds(wasmtime.compile(name))));
    }
    report.add(figure, "ms", Side::new(PLAIN, ours), wasmtime.map(|_| Side::new("wasmtime compile", peer)));
    Ok(())
}

/// Removes the precompiled code of a guest from the node's cache.
fn forget(name: &str) -> Result<(), Error> {
    cached(name).into_iter().try_for_each(|file| fs::remove_file(&file).map_err(Error::io(file)))
}

/// In fractions too.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
