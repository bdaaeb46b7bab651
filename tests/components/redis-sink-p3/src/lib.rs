//! The guest `redis-sink` again, on `spin:redis@3.0.0` and `spin:variables@3.0.0`.
use std::time::Duration;

use anyhow::{Context, bail};
use spin_sdk::redis::{Connection, RedisParameter};
use spin_sdk::{redis_subscriber, time::sleep, variables};

#[redis_subscriber]
async fn sink(message: Vec<u8>) -> anyhow::Result<()> {
    let text = String::from_utf8_lossy(&message);
    println!("received {text}");
    match text.split_once(':') {
        Some(("sleep", ms)) => sleep(Duration::from_millis(ms.parse()?)).await,
        None if text == "fail" => bail!("asked to fail"),
        None if text == "trap" => panic!("asked to trap"),
        _ => {}
    }
    let list = variables::get("list").await?.into_bytes();
    let address = variables::get("redis_address").await?;
    let redis = Connection::open(address).await.context("open")?;
    let arguments = [RedisParameter::Binary(list), RedisParameter::Binary(message)];
    redis.execute("RPUSH", arguments).await.context("push")?;
    Ok(())
}
