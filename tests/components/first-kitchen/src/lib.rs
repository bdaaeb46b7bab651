//! The kitchen as its first version was: spin-sdk 3, configured by the component's environment.
use std::{env, thread::sleep, time::Duration};

use anyhow::{Context, Result};
use spin_sdk::{redis::Connection, redis_component};

#[redis_component]
fn kitchen(message: Vec<u8>) -> Result<()> {
    let order = String::from_utf8(message)?;
    let name = order.split('"').nth(3).context("no name")?.to_owned();
    println!("cooking {name}");
    sleep(Duration::from_millis(500));
    let redis = Connection::open(&env::var("REDIS_ADDRESS")?).context("open")?;
    redis.set(&name, &order.replace("placed", "ready").into_bytes()).context("set")?;
    println!("{name} is ready");
    Ok(())
}
