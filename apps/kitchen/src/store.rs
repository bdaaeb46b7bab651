//! The orders in Redis, as the restaurant stores them: `NAME` the newest of a dish, `NAME:ID` each one.

use spin_sdk::redis::{Connection, Error, RedisParameter, RedisResult};

use crate::event::Ticket;

const ADVANCE: &str = include_str!("advance.lua");

/// Moves the order from one state to the next. False where it is not in the first state (any more).
pub async fn advance(address: &str, ticket: &Ticket, from: &str, to: &str) -> Result<bool, Error> {
    let redis = Connection::open(address).await?;
    let arguments = [
        text(ADVANCE),
        RedisParameter::Int64(2),
        text(&ticket.name),
        text(&format!("{}:{}", ticket.name, ticket.id)),
        text(&ticket.id.to_string()),
        text(from),
        text(to),
    ];
    let results = redis.execute("EVAL", arguments).await?;
    Ok(results == [RedisResult::Int64(1)])
}

fn text(value: &str) -> RedisParameter {
    RedisParameter::Binary(value.into())
}
