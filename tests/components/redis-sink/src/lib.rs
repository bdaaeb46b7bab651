//! Appends every message to the Redis list that the variable `list` names.
//! `sleep:MILLISECONDS` sleeps first, `fail` answers an error, `trap` traps.
use std::{thread::sleep, time::Duration};

use anyhow::{Context, bail};
use spin_sdk::redis::{Connection, RedisParameter};
use spin_sdk::{redis_component, variables};

#[redis_component]
fn sink(message: Vec<u8>) -> anyhow::Result<()> {
    let text = String::from_utf8_lossy(&message);
    println!("received {text}");
    match text.split_once(':') {
        Some(("sleep", ms)) => sleep(Duration::from_millis(ms.parse()?)),
        None if text == "fail" => bail!("asked to fail"),
        None if text == "trap" => panic!("asked to trap"),
        _ => {}
    }
    let list = variables::get("list")?.into_bytes();
    let redis = Connection::open(&variables::get("redis_address")?).context("open")?;
    let arguments = [RedisParameter::Binary(list), RedisParameter::Binary(message)];
    redis.execute("RPUSH", &arguments).context("push")?;
    Ok(())
}
