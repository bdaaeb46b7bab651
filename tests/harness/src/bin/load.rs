//! `load URL RATE SECONDS new|keep-alive`: sends requests at a steady rate and prints their outcomes. Fails if
//! one was lost.

use std::process::ExitCode;
use std::time::Duration;

use harness::load::{Load, run};

const USAGE: &str = "usage: load http://HOST:PORT/PATH RATE SECONDS new|keep-alive";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((load, target, path)) = parse(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let outcomes = run(&load, &path, || target.clone()).await;
    println!("{outcomes}");
    if outcomes.lost.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(arguments: &[String]) -> Option<(Load, String, String)> {
    let [url, rate, seconds, connections] = arguments else { return None };
    let (target, path) = url.strip_prefix("http://")?.split_once('/')?;
    let keep_alive = match connections.as_str() {
        "keep-alive" => true,
        "new" => false,
        _ => return None,
    };
    let duration = Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?;
    let rate = rate.parse().ok().filter(|rate: &f64| *rate > 0.0)?;
    Some((Load { rate, duration, keep_alive }, target.to_owned(), format!("/{path}")))
}
