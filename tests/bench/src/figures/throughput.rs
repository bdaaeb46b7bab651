//! `throughput`: one page, over and over, from 1 to 512 connections.

use std::net::SocketAddr;

use harness::{SpinApp, wait_for};

use crate::error::Error;
use crate::node::{Node, PLAIN};
use crate::peers::{Server, Wasmtime};
use crate::plot::{self, Line};
use crate::proc;
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
/// Seconds that a server may take to close the connections of a run.
const CLOSING: u64 = 20;

/// What one run gave.
struct Run {
    wrk: Sample,
    /// Microseconds that the server was on a processor for each answer: what wrk needs, which shares the machine, is not in it.
    processor: f64,
}

/// Of a run.
type Part = fn(&Run) -> f64;

/// A server, and what was counted with each number of connections, round by round.
struct Subject {
    name: String,
    address: SocketAddr,
    pid: i32,
    headers: &'static [&'static str],
    runs: Vec<Vec<Run>>,
}

/// Everyone's requests a second, latencies, errors and time on a processor.
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
        let id = format!("case-{which}");
        let ours = node.start(&service, &id)?.address;
        subjects.push(Subject::new(format!("{PLAIN}, {}", case.figure), ours, node.containerd().pid_of(&id), &[]));
        if let Some(wasmtime) = &wasmtime {
            let server = wasmtime.serve(case.guest, case.reuse)?;
            for (name, headers) in [(SERVE, &[] as &[&str]), (SERVE_ALIKE, &SPINS_HEADERS)] {
                subjects.push(Subject::new(format!("{name}, {}", case.figure), server.address, server.pid(), headers));
            }
            servers.push(server);
        }
    }
    subjects.push(Subject::new(NATIVE.to_owned(), native.address, native.pid(), &[]));
    run(&mut subjects, scale, report)?;
    compare(&subjects, scale, report);
    draw(&subjects, scale, report)
}

fn run(subjects: &mut [Subject], scale: &Scale, report: &Report) -> Result<(), Error> {
    let wrk = Wrk::new()?;
    for subject in &mut *subjects {
        subject.runs.resize_with(scale.connections.len(), Vec::new);
        // Not counted: whatever is slower at first.
        subject.run(&wrk, 32, 1)?;
    }
    let mut order: Vec<&mut Subject> = subjects.iter_mut().collect();
    for round in 1..=scale.rounds {
        for (which, connections) in scale.connections.iter().enumerate() {
            report.step(&format!("throughput: {connections} connections, round {round} of {}", scale.rounds))?;
            if let Some(first) = order.first() {
                // Not counted: it alone would come after another number of connections.
                first.run(&wrk, *connections, 1)?;
            }
            for subject in &mut order {
                let run = subject.run(&wrk, *connections, scale.wrk_seconds)?;
                subject.runs[which].push(run);
            }
        }
        // There and back, so that nobody always comes after the same other.
        order.reverse();
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
            let side = |subject: &Subject, name, part| Side::new(name, subject.values(which, part));
            let compared: [(&str, &'static str, Part); 2] =
                [("", "requests/s", |run| run.wrk.per_second), ("/processor", "µs a request", |run| run.processor)];
            let parts: [(&str, &'static str, Part); 3] = [
                ("/p50", "ms", |run| run.wrk.p50),
                ("/p99", "ms", |run| run.wrk.p99),
                ("/errors", "errors", |run| run.wrk.errors),
            ];
            for (end, unit, part) in compared.into_iter().chain(parts) {
                report.add(format!("{figure}{end}"), unit, side(ours, PLAIN, part), serve.map(|serve| side(serve, SERVE, part)));
            }
            for ((name, other), (end, unit, part)) in others.iter().flat_map(|other| compared.map(|part| (other, part))) {
                let Some(other) = other else { continue };
                report.add(format!("{figure}{end}"), unit, side(ours, PLAIN, part), Some(side(other, name, part)));
            }
        }
    }
}

fn draw(subjects: &[Subject], scale: &Scale, report: &Report) -> Result<(), Error> {
    let line = |subject: &Subject| {
        let value = |which: usize| median(&subject.values(which, |run| run.wrk.per_second));
        let points = scale.connections.iter().enumerate().map(|(which, connections)| (f64::from(*connections), value(which)));
        Line { name: subject.name.clone(), points: points.collect() }
    };
    let lines: Vec<Line> = subjects.iter().map(line).collect();
    plot::lines(&report.path("throughput.svg"), "Requests a second", "connections", "requests/s", &lines)
}

impl Subject {
    fn new(name: String, address: SocketAddr, pid: i32, headers: &'static [&'static str]) -> Self {
        Self { name, address, pid, headers, runs: Vec::new() }
    }

    fn run(&self, wrk: &Wrk, connections: u32, seconds: u64) -> Result<Run, Error> {
        let before = proc::on_processor(self.pid)?;
        let sample = wrk.run(self.address, "/", self.headers, connections, seconds)?;
        let time = proc::on_processor(self.pid)?.saturating_sub(before);
        // What it still does about them would be the next one's time.
        wait_for("the connections to be closed", CLOSING, || match proc::connections(self.address) {
            Ok(0) => Ok(()),
            Ok(open) => Err(format!("{} has {open}", self.name)),
            Err(error) => Err(error.to_string()),
        });
        Ok(Run { wrk: sample, processor: time.as_secs_f64() * 1e6 / sample.answers.max(1.0) })
    }

    fn values(&self, which: usize, part: Part) -> Vec<f64> {
        self.runs[which].iter().map(part).collect()
    }
}
