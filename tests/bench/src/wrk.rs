//! wrk: one thread that keeps connections busy, and what it counted.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use harness::process::said;

use crate::error::Error;

/// What one run gave.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Answers.
    pub answers: f64,
    /// Answers a second.
    pub per_second: f64,
    /// Median of the time until an answer, in milliseconds.
    pub p50: f64,
    /// The 99th percentile of it, in milliseconds.
    pub p99: f64,
    /// Answers that were not 2xx or 3xx, and errors of sockets.
    pub errors: f64,
}

/// The program with its script.
#[derive(Debug)]
pub struct Wrk {
    dir: tempfile::TempDir,
}

impl Wrk {
    /// Puts the script where wrk finds it.
    pub fn new() -> Result<Self, Error> {
        let wrk = Self { dir: tempfile::tempdir().map_err(Error::io(std::env::temp_dir()))? };
        fs::write(wrk.script(), include_str!("wrk.lua")).map_err(Error::io(wrk.script()))?;
        Ok(wrk)
    }

    fn script(&self) -> PathBuf {
        self.dir.path().join("wrk.lua")
    }

    /// `GET path` with these headers for so many seconds over so many connections.
    pub fn run(
        &self,
        address: SocketAddr,
        path: &str,
        headers: &[&str],
        connections: u32,
        seconds: u64,
    ) -> Result<Sample, Error> {
        let mut command = Command::new("wrk");
        command.args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s"), "-s"]).arg(self.script());
        command.args(headers.iter().flat_map(|header| ["-H", *header]));
        let output = command.arg(format!("http://{address}{path}")).output();
        let output = output.map_err(|source| Error::Run { program: "wrk", source })?;
        let text = said(&output);
        if !output.status.success() {
            return Err(Error::Failed { program: "wrk", said: text });
        }
        parse(&text).ok_or(Error::Uncounted(text))
    }
}

fn parse(text: &str) -> Option<Sample> {
    let line = text.lines().find_map(|line| line.strip_prefix("counted "))?;
    let numbers: Vec<f64> = line.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [duration, requests, p50, p99, statuses, sockets] = numbers[..] else { return None };
    Some(Sample {
        answers: requests,
        per_second: requests * 1e6 / duration,
        p50: p50 / 1e3,
        p99: p99 / 1e3,
        errors: statuses + sockets,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_become_requests_a_second_and_milliseconds() {
        let sample = parse("Running 2s test\ncounted 2000000 50000 1250 9000 2 1\n").expect("the line is there");
        assert_eq!((sample.answers, sample.per_second), (50_000.0, 25_000.0));
        assert_eq!((sample.p50, sample.p99, sample.errors), (1.25, 9.0, 3.0));
    }

    #[test]
    fn a_run_without_the_line_counts_nothing() {
        assert!(parse("unable to connect\n").is_none());
        assert!(parse("counted 1 2 3\n").is_none());
    }
}
