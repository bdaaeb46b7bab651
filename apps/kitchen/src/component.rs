//! The kitchen as a component: one call for each message, and many calls at the same time.

use std::time::Duration;

use anyhow::{Result, anyhow};
use spin_sdk::{redis_subscriber, time::sleep, variables};

use crate::config::cooking_time;
use crate::event::Ticket;
use crate::store::advance;

/// A cooked order is reported again and again where Redis is away, for about a minute.
const RETRIES: u32 = 60;
const BETWEEN_RETRIES: Duration = Duration::from_secs(1);

#[redis_subscriber]
async fn hear(message: Vec<u8>) -> Result<()> {
    match Ticket::read(&message) {
        Ok(ticket) => cook(&ticket).await.map_err(|error| anyhow!("{ticket} is not cooked: {error:#}")),
        Err(reason) => {
            eprintln!("dropped a message: {reason}");
            Ok(())
        }
    }
}

async fn cook(ticket: &Ticket) -> Result<()> {
    let time = cooking_time(&variables::get("cooking_seconds").await?)?;
    let address = variables::get("redis_address").await?;
    if !advance(&address, ticket, "placed", "cooking").await? {
        println!("{ticket} is not waiting, left alone");
        return Ok(());
    }
    println!("cooking {ticket}");
    // Not a thread's sleep: the host may run other messages in this very instance meanwhile.
    sleep(time).await;
    report(&address, ticket).await
}

/// Marks a cooked order ready. Redis may be away for a moment; the food is not thrown away for that.
async fn report(address: &str, ticket: &Ticket) -> Result<()> {
    let mut retries = RETRIES;
    let awaited = loop {
        match advance(address, ticket, "cooking", "ready").await {
            Ok(awaited) => break awaited,
            Err(error) if retries == 0 => return Err(error.into()),
            Err(error) => eprintln!("{ticket} can't be reported ready yet: {error}"),
        }
        retries -= 1;
        sleep(BETWEEN_RETRIES).await;
    };
    println!("{ticket} is ready{}", if awaited { "" } else { ", but nobody waits for it" });
    Ok(())
}
