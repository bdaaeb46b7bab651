//! `redis`: messages a second through the Redis trigger, each handled by a fresh instance that leaves a trace of it.
//!
//! Two traces: a line on stdout, which is the least a handler can be seen to do, and one command to the Redis that the message came from.

use std::time::{Duration, Instant};

use harness::{Redis, SpinApp, Task};

use crate::error::Error;
use crate::node::{Node, PLAIN, Service};
use crate::report::{Report, Side};
use crate::scale::Scale;

/// It leaves the traces.
const GUEST: &str = "redis-count";
/// Messages in one pipeline.
const BATCH: usize = 1000;
/// Until all must have been handled.
const PATIENCE: u64 = 120;
/// Between two looks at the count.
const INTERVAL: Duration = Duration::from_millis(5);
/// What the guest writes for a message.
const TRACE: char = '#';
/// What it counts in, where the message is the address of a Redis.
const KEY: &str = "handled";

/// Both traces in turns; every message must have been handled once.
pub fn measure(scale: &Scale, report: &mut Report) -> Result<(), Error> {
    report.step("redis: containerd, Redis and the app")?;
    let (node, redis) = (Node::new(), Redis::start());
    let service = node.plain("redis", &app(&redis.address()));
    let (mut lines, mut commands) = (Vec::new(), Vec::new());
    for round in 1..=scale.rounds {
        report.step(&format!("redis: {} messages, round {round} of {}", scale.messages, scale.rounds))?;
        lines.push(per_second(&node, &redis, &service, "", scale.messages)?);
        commands.push(per_second(&node, &redis, &service, &redis.address(), scale.messages)?);
    }
    report.add("redis/a line for each message", "messages/s", Side::new(PLAIN, lines), None);
    report.add("redis/a command for each message", "messages/s", Side::new(PLAIN, commands), None);
    Ok(())
}

fn app(address: &str) -> SpinApp {
    SpinApp::new(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"count\"\n[application.trigger.redis]\naddress = \"{address}\"\n\
         [[trigger.redis]]\nchannel = \"in\"\ncomponent = \"count\"\n\
         [component.count]\nsource = \"{GUEST}.wasm\"\nallowed_outbound_hosts = [\"{address}\"]\n"
    ))
    .guest(GUEST)
}

fn per_second(node: &Node, redis: &Redis, service: &Service, message: &str, messages: usize) -> Result<f64, Error> {
    let task = node.run(service, "redis");
    redis.wait_for_subscribers("in", 1);
    let mut connection = ::redis::Client::open(redis.address())?.get_connection()?;
    ::redis::cmd("DEL").arg(KEY).exec(&mut connection)?;
    let began = Instant::now();
    publish(&mut connection, message, messages)?;
    loop {
        let handled = count(&task, &mut connection, message)?;
        let time = began.elapsed();
        if handled == messages {
            return Ok(messages as f64 / time.as_secs_f64());
        }
        if handled > messages || time > Duration::from_secs(PATIENCE) {
            return Err(Error::Messages { published: messages, handled, seconds: time.as_secs() });
        }
        std::thread::sleep(INTERVAL);
    }
}

fn publish(connection: &mut ::redis::Connection, message: &str, messages: usize) -> Result<(), Error> {
    for first in (0..messages).step_by(BATCH) {
        let mut batch = ::redis::pipe();
        for _ in first..messages.min(first + BATCH) {
            batch.cmd("PUBLISH").arg("in").arg(message).ignore();
        }
        batch.exec(connection)?;
    }
    Ok(())
}

fn count(task: &Task, connection: &mut ::redis::Connection, message: &str) -> Result<usize, Error> {
    if message.is_empty() {
        return Ok(task.said().matches(TRACE).count());
    }
    Ok(::redis::cmd("GET").arg(KEY).query::<Option<usize>>(connection)?.unwrap_or_default())
}
