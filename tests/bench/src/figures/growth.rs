//! `growth`: how start, memory and throughput change with the number of apps on the node, of routes and of static files. Connections: see
//! `throughput`.

use std::fmt::Write as _;

use harness::SpinApp;

use super::GUEST;
use super::memory::idle_pss;
use super::start::milliseconds;
use crate::error::Error;
use crate::node::{Node, PLAIN, RUNC, Service};
use crate::plot::{self, Line};
use crate::programs::Programs;
use crate::report::{Report, Side, median};
use crate::scale::Scale;
use crate::wrk::Wrk;

/// Starts at each step.
const STARTS: usize = 3;
/// Connections while routes are looked up.
const CONNECTIONS: u32 = 32;
/// Bytes of a static file.
const FILE: usize = 1024;

/// Values by service and step: all of one service and step are runs of the same.
type Values = Vec<Vec<Vec<f64>>>;

/// All three.
pub fn measure(scale: &Scale, programs: &Programs, report: &mut Report) -> Result<(), Error> {
    apps(scale, programs, report)?;
    routes(scale, report)?;
    files(scale, programs, report)
}

fn apps(scale: &Scale, programs: &Programs, report: &mut Report) -> Result<(), Error> {
    report.step("growth, apps: containerd and images")?;
    let node = Node::new();
    let services = [node.plain("apps", &SpinApp::http(GUEST, "")), node.native("apps", programs, None)?];
    let steps = scale.growth_apps;
    let (mut starts, mut memory) = (empty(services.len(), steps), empty(services.len(), steps));
    for round in 1..=scale.rounds {
        for (which, service) in services.iter().enumerate() {
            let mut running = 0;
            for (step, apps) in steps.iter().enumerate() {
                report.step(&format!("growth, apps: {apps} of {}, round {round} of {}", service.name, scale.rounds))?;
                for app in running..*apps {
                    node.start(service, &format!("app-{app}"))?;
                }
                running = *apps;
                memory[which][step].push(idle_pss(&node)?);
                for _ in 0..STARTS {
                    starts[which][step].push(milliseconds(node.try_start(service)?.first_200));
                }
            }
            (0..running).for_each(|app| node.stop(&format!("app-{app}")));
        }
    }
    let names = services.each_ref().map(|service| service.name);
    note(report, "apps", ("start", "ms"), steps, &names, &starts)?;
    note(report, "apps", ("memory", "MiB PSS"), steps, &names, &memory)
}

fn routes(scale: &Scale, report: &mut Report) -> Result<(), Error> {
    report.step("growth, routes: containerd and images")?;
    let (node, wrk) = (Node::new(), Wrk::new()?);
    let steps = scale.growth_routes;
    let mut addresses = Vec::new();
    for routes in steps {
        let service = node.plain(&format!("routes-{routes}"), &app_with_routes(*routes));
        addresses.push(node.start(&service, &format!("routes-{routes}"))?.address);
    }
    let mut requests = empty(1, steps);
    for round in 1..=scale.rounds {
        report.step(&format!("growth, routes: round {round} of {}", scale.rounds))?;
        for (step, (routes, address)) in steps.iter().zip(&addresses).enumerate() {
            let sample = wrk.run(*address, &format!("/route-{routes}"), &[], CONNECTIONS, scale.wrk_seconds)?;
            requests[0][step].push(sample.per_second);
        }
    }
    note(report, "routes", ("throughput", "requests/s"), steps, &[PLAIN], &requests)
}

fn files(scale: &Scale, programs: &Programs, report: &mut Report) -> Result<(), Error> {
    let (node, steps) = (Node::new(), scale.growth_files);
    let mut services: Vec<[Service; 3]> = Vec::new();
    for files in steps {
        report.step(&format!("growth, files: images with {files}"))?;
        let (app, name) = (app_with_files(*files), format!("files-{files}"));
        let site = app.dir().join("site");
        let forms = [node.plain(&name, &app), node.artifact(&name, &app), node.native(&name, programs, Some(&site))?];
        for service in &forms {
            node.try_start(service)?;
        }
        services.push(forms);
    }
    let mut starts = empty(3, steps);
    for round in 1..=scale.rounds {
        report.step(&format!("growth, files: round {round} of {}", scale.rounds))?;
        for _ in 0..STARTS {
            for (step, services) in services.iter().enumerate() {
                for (which, service) in services.iter().enumerate() {
                    starts[which][step].push(milliseconds(node.try_start(service)?.first_200));
                }
            }
        }
    }
    let names = services[0].each_ref().map(|service| service.name);
    note(report, "files", ("start", "ms"), steps, &names, &starts)
}

fn empty(services: usize, steps: &[usize]) -> Values {
    vec![vec![Vec::new(); steps.len()]; services]
}

/// Adds every step of every service, beside the native one where there is one, and draws them.
fn note(
    report: &mut Report,
    of: &str,
    what: (&str, &'static str),
    steps: &[usize],
    names: &[&str],
    values: &Values,
) -> Result<(), Error> {
    let (what, unit) = what;
    let side = |which: usize, step: usize| Side::new(names[which], values[which][step].clone());
    let peer = names.iter().position(|name| *name == RUNC);
    for (step, count) in steps.iter().enumerate() {
        for which in (0..names.len()).filter(|which| Some(*which) != peer) {
            report.add(format!("growth/{count} {of}/{what}"), unit, side(which, step), peer.map(|peer| side(peer, step)));
        }
    }
    let points = |values: &[Vec<f64>]| steps.iter().zip(values).map(|(count, runs)| (*count as f64, median(runs))).collect();
    let line = |(name, values): (&&str, &Vec<Vec<f64>>)| Line { name: (*name).to_owned(), points: points(values) };
    let lines: Vec<Line> = names.iter().zip(values).map(line).collect();
    plot::lines(&report.path(&format!("growth-{of}-{what}.svg")), &format!("{what} and the number of {of}"), of, unit, &lines)
}

fn app_with_routes(routes: usize) -> SpinApp {
    let mut manifest = "spin_manifest_version = 2\n[application]\nname = \"routes\"\n".to_owned();
    // The bench's own first request is for this one.
    manifest += "[[trigger.http]]\nroute = \"/\"\ncomponent = \"main\"\n";
    for route in 1..=routes {
        let _never_fails = writeln!(manifest, "[[trigger.http]]\nroute = \"/route-{route}\"\ncomponent = \"main\"");
    }
    SpinApp::new(&format!("{manifest}[component.main]\nsource = \"{GUEST}.wasm\"\n")).guest(GUEST)
}

fn app_with_files(files: usize) -> SpinApp {
    let app = SpinApp::http(GUEST, "files = [{ source = \"site\", destination = \"/\" }]");
    // No two alike: content would be stored once.
    let content = |file: usize| format!("{file:0FILE$}");
    (0..files).fold(app, |app, file| app.file(&format!("site/{:02}/{file}.txt", file % 100), content(file).as_bytes()))
}
