//! `throughput`: one page, over and over, from 1 to 512 connections.

use std::net::SocketAddr;

use harness::SpinApp;

use crate::error::Error;
use crate::node::{Node, PLAIN};
use crate::peers::{Server, Wasmtime};
use crate::plot::{self, Line};
use crate::programs::Programs;
use crate::report::{Report, Side, median};
use crate::scale::Scale;
use crate::wrk::{Sample, Wrk};

/// How a guest's instances are used: a figure's name, the guest, our setting of it, the same for `wasmtime serve`.
struct Case {
    figure: &'static str,
    guest: &'static str,
    setting: Option<&'static str>,
    reuse: usize,
}

/// WASI 0.2 as it is by default, with reuse, and WASI 0.3 as it is by default, which is with reuse.
const CASES: [Case; 3] = [
    Case { figure: "fresh instances, WASI 0.2", guest: "hello-p2", setting: Some("SPIN_HTTP_INSTANCE_REUSE=1"), reuse: 1 },
    Case { figure: "reused instances, WASI 0.2", guest: "hello-p2", setting: Some("SPIN_HTTP_INSTANCE_REUSE=128"), reuse: 128 },
    Case { figure: "reused instances, WASI 0.3", guest: "hello-p3", setting: None, reuse: 128 },
];
const SERVE: &str = "wasmtime serve";
/// The same server, whose guest is shown as many headers as ours: there the client sends them.
const SERVE_ALIKE: &str = "wasmtime serve, Spin's headers sent";
/// What Spin tells each guest about its request.
const SPINS_HEADERS: [&str; 7] = [
    "spin-path-info: /",
    "spin-full-url: http://127.0.0.1:50000/",
    "spin-matched-route: /...",
    "spin-base-path: /",
    "spin-raw-component-route: /...",
    "spin-component-route: ",
    "spin-client-addr: 127.0.0.1:50001",
];
const NATIVE: &str = "native server";

/// Of a sample.
type Part = fn(&Sample) -> f64;

/// A server, and what wrk counted with each number of connections, round by round.
struct Subject {
    name: String,
    address: SocketAddr,
    headers: &'static [&'static str],
    samples: Vec<Vec<Sample>>,
}

/// Everyone's requests a second, latencies and errors.
pub fn measure(scale: &Scale, programs: &Programs, report: &mut Report) -> Result<(), Error> {
    report.step("throughput: servers")?;
    let (node, logs) = (Node::new(), tempfile::tempdir().map_err(Error::io(std::env::temp_dir()))?);
    let wasmtime = programs.wasmtime.as_deref().map(Wasmtime::new).transpose()?;
    if wasmtime.is_none() {
        report.step("throughput: without wasmtime serve, whose program was not named")?;
    }
    let native = Server::native(&programs.native, &logs.path().join("native"))?;
    let (mut subjects, mut servers) = (Vec::new(), Vec::new());
    for (which, case) in CASES.iter().enumerate() {
        let mut service = node.plain(case.guest, &SpinApp::http(case.guest, ""));
        if let Some(setting) = case.setting {
            service = service.with(setting);
        }
        let ours = node.start(&service, &format!("case-{which}"))?.address;
        subjects.push(Subject::new(format!("{PLAIN}, {}", case.figure), ours, &[]));
        if let Some(wasmtime) = &wasmtime {
            let server = wasmtime.serve(case.guest, case.reuse)?;
            subjects.push(Subject::new(format!("{SERVE}, {}", case.figure), server.address, &[]));
            subjects.push(Subject::new(format!("{SERVE_ALIKE}, {}", case.figure), server.address, &SPINS_HEADERS));
            servers.push(server);
        }
    }
    subjects.push(Subject::new(NATIVE.to_owned(), native.address, &[]));
    run(&mut subjects, scale, report)?;
    compare(&subjects, scale, report);
    draw(&subjects, scale, report)
}

fn run(subjects: &mut [Subject], scale: &Scale, report: &Report) -> Result<(), Error> {
    let wrk = Wrk::new()?;
    for subject in &*subjects {
        // Not counted: whatever is slower at first.
        wrk.run(subject.address, "/", subject.headers, 32, 1)?;
    }
    for round in 1..=scale.rounds {
        for (which, connections) in scale.connections.iter().enumerate() {
            report.step(&format!("throughput: {connections} connections, round {round} of {}", scale.rounds))?;
            for subject in &mut *subjects {
                let sample = wrk.run(subject.address, "/", subject.headers, *connections, scale.wrk_seconds)?;
                subject.samples.resize_with(scale.connections.len(), Vec::new);
                subject.samples[which].push(sample);
            }
        }
    }
    Ok(())
}

fn compare(subjects: &[Subject], scale: &Scale, report: &mut Report) {
    let find = |name: &str| subjects.iter().find(|subject| subject.name == name);
    for case in CASES {
        let Some(ours) = find(&format!("{PLAIN}, {}", case.figure)) else { continue };
        let serve = find(&format!("{SERVE}, {}", case.figure));
        let others = [(SERVE_ALIKE, find(&format!("{SERVE_ALIKE}, {}", case.figure))), (NATIVE, find(NATIVE))];
        for (which, connections) in scale.connections.iter().enumerate() {
            let figure = format!("throughput/{}/{connections} connections", case.figure);
            let side = |subject: &Subject, name, part| Side::new(name, subject.runs(which, part));
            let parts: [(&str, &'static str, Part); 4] = [
                ("", "requests/s", |sample| sample.per_second),
                ("/p50", "ms", |sample| sample.p50),
                ("/p99", "ms", |sample| sample.p99),
                ("/errors", "errors", |sample| sample.errors),
            ];
            for (end, unit, part) in parts {
                report.add(format!("{figure}{end}"), unit, side(ours, PLAIN, part), serve.map(|serve| side(serve, SERVE, part)));
            }
            let (_, unit, part) = parts[0];
            for (name, other) in others {
                let Some(other) = other else { continue };
                report.add(&figure, unit, side(ours, PLAIN, part), Some(side(other, name, part)));
            }
        }
    }
}

fn draw(subjects: &[Subject], scale: &Scale, report: &Report) -> Result<(), Error> {
    let line = |subject: &Subject| {
        let value = |which: usize| median(&subject.runs(which, |sample| sample.per_second));
        let points = scale.connections.iter().enumerate().map(|(which, connections)| (f64::from(*connections), value(which)));
        Line { name: subject.name.clone(), points: points.collect() }
    };
    let lines: Vec<Line> = subjects.iter().map(line).collect();
    plot::lines(&report.path("throughput.svg"), "Requests a second", "connections", "requests/s", &lines)
}

impl Subject {
    fn new(name: String, address: SocketAddr, headers: &'static [&'static str]) -> Self {
        Self { name, address, headers, samples: Vec::new() }
    }

    fn runs(&self, which: usize, part: Part) -> Vec<f64> {
        self.samples[which].iter().map(part).collect()
    }
}
