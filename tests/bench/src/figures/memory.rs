//! `memory`: idle apps of one image, all their processes counted.

use std::thread::sleep;
use std::time::Duration;

use harness::SpinApp;

use super::GUEST;
use crate::error::Error;
use crate::node::{Node, Service};
use crate::proc::{Processes, pss};
use crate::programs::Programs;
use crate::report::{Report, Side};
use crate::scale::Scale;

/// After the last answer, until an app counts as idle.
const SETTLING: Duration = Duration::from_secs(2);

/// The first app, and each further one.
pub fn measure(scale: &Scale, programs: &Programs, report: &mut Report) -> Result<(), Error> {
    report.step("memory: containerd and images")?;
    let node = Node::new();
    let services = [node.plain("memory", &SpinApp::http(GUEST, "")), node.native("memory", programs, None)?];
    let (mut first, mut further) = ([const { Vec::new() }; 2], [const { Vec::new() }; 2]);
    for round in 1..=scale.rounds {
        for (which, service) in services.iter().enumerate() {
            report.step(&format!("memory: {}, round {round} of {}", service.name, scale.rounds))?;
            let (one, all) = one_and_all(&node, service, scale.apps)?;
            first[which].push(one);
            further[which].push((all - one) / (scale.apps - 1) as f64);
        }
    }
    for (figure, values) in [("memory/first app", first), ("memory/each further app", further)] {
        let [ours, peer] = values;
        report.add(figure, "MiB PSS", Side::new(services[0].name, ours), Some(Side::new(services[1].name, peer)));
    }
    Ok(())
}

fn one_and_all(node: &Node, service: &Service, apps: usize) -> Result<(f64, f64), Error> {
    node.start(service, "app-1")?;
    let one = idle_pss(node)?;
    for app in 2..=apps {
        node.start(service, &format!("app-{app}"))?;
    }
    let all = idle_pss(node)?;
    for app in 1..=apps {
        node.stop(&format!("app-{app}"));
    }
    Ok((one, all))
}

/// Of everything that serves the node's tasks, in MiB, once that is idle.
pub fn idle_pss(node: &Node) -> Result<f64, Error> {
    sleep(SETTLING);
    pss(&Processes::now().serving(&node.tasks())?)
}
