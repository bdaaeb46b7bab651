//! What the restaurant announces on the channel.

use std::fmt;

use serde::Deserialize;
use thiserror::Error;

/// An order that waits to be cooked.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The dish; also the Redis key of its newest order.
    pub name: String,
    /// Which order of the dish.
    pub id: u64,
}

/// An event that is not an order to cook.
#[derive(Debug, Error)]
pub enum EventError {
    /// Not the JSON of an order.
    #[error("not an order: {0}")]
    NotAnOrder(#[from] serde_json::Error),
    /// An order without a dish.
    #[error("not an order: its name is empty")]
    NoName,
    /// An order that a kitchen has had already.
    #[error("an order that is {0}, not placed")]
    NotPlaced(String),
}

impl Ticket {
    /// Reads a message of the channel. Anybody can publish there, so anything can come.
    pub fn read(message: &[u8]) -> Result<Self, EventError> {
        #[derive(Deserialize)]
        struct Event {
            name: String,
            state: String,
            id: u64,
        }
        let Event { name, state, id } = serde_json::from_slice(message)?;
        if name.is_empty() {
            return Err(EventError::NoName);
        }
        if state != "placed" {
            return Err(EventError::NotPlaced(state));
        }
        Ok(Self { name, id })
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (order {})", self.name, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announced_order_becomes_a_ticket() {
        let ticket = Ticket::read(br#"{"state":"placed","id":7,"name":"PIZZA"}"#).unwrap();
        assert_eq!(ticket, Ticket { name: "PIZZA".into(), id: 7 });
    }

    #[test]
    fn what_is_no_order_is_refused_with_a_reason() {
        let messages: [&[u8]; 8] = [
            b"",
            b"hello",
            b"\xff\xfe",
            b"[]",
            b"{}",
            br#"{"name":"PIZZA","state":"placed"}"#,
            br#"{"name":"PIZZA","state":"placed","id":-1}"#,
            br#"{"name":"","state":"placed","id":1}"#,
        ];
        for message in messages {
            let error = Ticket::read(message).unwrap_err().to_string();
            assert!(error.starts_with("not an order: "), "{error}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_and_does_not_exhaust_the_stack() {
        assert!(Ticket::read(&b"[".repeat(1_000_000)).is_err());
    }

    #[test]
    fn an_order_that_is_not_new_is_refused() {
        let error = Ticket::read(br#"{"name":"PIZZA","state":"ready","id":1}"#).unwrap_err();
        assert_eq!(error.to_string(), "an order that is ready, not placed");
    }
}
