//! `start`: from `ctr run -d` to the first 200.

use std::fs;
use std::path::Path;
use std::time::Duration;

use harness::SpinApp;
use harness::app::guest;
use sha2::{Digest, Sha256};

use super::GUEST;
use crate::error::Error;
use crate::node::{Node, PLAIN, Service, Started};
use crate::programs::Programs;
use crate::report::{Report, Side};
use crate::scale::Scale;

/// Where the shim keeps precompiled components.
const NODE_CACHE: &str = "/var/cache/containerd-shim-spin";

/// Of a start.
type Part = fn(&Started) -> Duration;

/// Starts of images that were seen before, and of one that was not.
pub fn measure(scale: &Scale, programs: &Programs, report: &mut Report) -> Result<(), Error> {
    report.step("start: containerd and images")?;
    let node = Node::new();
    let app = SpinApp::http(GUEST, "");
    let services = [node.plain("start", &app), node.artifact("start", &app), node.native("start", programs, None)?];
    seen_before(&node, &services, scale, report)?;
    first_time(&node, &services[0], scale, report)
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
    let mut own = [const { Vec::new() }; 3];
    for round in 1..=scale.starts {
        report.step(&format!("start, the shim's own part: round {round} of {}", scale.starts))?;
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
    Ok(())
}

/// Both of ours beside the peer.
fn compare(report: &mut Report, figure: &str, services: &[Service; 3], runs: [Vec<f64>; 3]) {
    let side = |which: usize| Side::new(services[which].name, runs[which].clone());
    for ours in [0, 1] {
        report.add(figure, "ms", side(ours), Some(side(2)));
    }
}

fn first_time(node: &Node, service: &Service, scale: &Scale, report: &mut Report) -> Result<(), Error> {
    let mut runs = Vec::new();
    for round in 1..=scale.rounds {
        report.step(&format!("start, first time on a node: round {round} of {}", scale.rounds))?;
        forget(&guest(GUEST))?;
        runs.push(milliseconds(node.try_start(service)?.first_200));
    }
    report.add("start/first time on a node", "ms", Side::new(PLAIN, runs), None);
    Ok(())
}

/// Removes the precompiled code of a component from the node's cache, where it is named by the component's digest.
fn forget(component: &Path) -> Result<(), Error> {
    let bytes = fs::read(component).map_err(Error::io(component))?;
    let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    for entry in fs::read_dir(NODE_CACHE).map_err(Error::io(NODE_CACHE))?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&digest) {
            fs::remove_file(entry.path()).map_err(Error::io(entry.path()))?;
        }
    }
    Ok(())
}

/// In fractions too.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
