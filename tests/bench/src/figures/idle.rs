//! `idle`: how often an app that nobody asks, and its shim, wake up.

use std::thread::sleep;
use std::time::Duration;

use harness::SpinApp;

use super::GUEST;
use crate::error::Error;
use crate::node::{Node, Service};
use crate::proc::{Processes, switches};
use crate::programs::Programs;
use crate::report::{Report, Side};
use crate::scale::Scale;

/// After the last answer, until an app counts as idle: an instance may be kept for a second, and a daemon looks around once more.
const SETTLING: Duration = Duration::from_secs(3);

/// Voluntary context switches a second.
pub fn measure(scale: &Scale, programs: &Programs, report: &mut Report) -> Result<(), Error> {
    report.step("idle: containerd and images")?;
    let node = Node::new();
    let services = [node.plain("idle", &SpinApp::http(GUEST, "")), node.native("idle", programs, None)?];
    let (mut apps, mut shims) = ([const { Vec::new() }; 2], [const { Vec::new() }; 2]);
    for round in 1..=scale.rounds {
        for (which, service) in services.iter().enumerate() {
            report.step(&format!("idle: {}, round {round} of {}", service.name, scale.rounds))?;
            let (app, shim) = wake_ups(&node, service, scale.idle_seconds)?;
            apps[which].push(app);
            shims[which].push(shim);
        }
    }
    for (figure, values) in [("idle/wake-ups of the app", apps), ("idle/wake-ups of its shim", shims)] {
        let [ours, peer] = values;
        report.add(figure, "1/s", Side::new(services[0].name, ours), Some(Side::new(services[1].name, peer)));
    }
    Ok(())
}

fn wake_ups(node: &Node, service: &Service, seconds: u64) -> Result<(f64, f64), Error> {
    node.start(service, "idle")?;
    let app = node.containerd().pid_of("idle");
    let shim = Processes::now().shim_of(app)?;
    sleep(SETTLING);
    let before = (switches(app)?, switches(shim)?);
    sleep(Duration::from_secs(seconds));
    let after = (switches(app)?, switches(shim)?);
    node.stop("idle");
    // A thread that ended took its count with it.
    let a_second = |before: f64, after: f64| (after - before).max(0.0) / seconds as f64;
    Ok((a_second(before.0, after.0), a_second(before.1, after.1)))
}
