//! An order as it is stored in Redis, announced on the channel and shown to the guest: one JSON for all three.

use serde::{Deserialize, Serialize};

/// How far an order has come. The kitchen moves it on, one step at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Stored and announced.
    Placed,
    /// A kitchen has taken it.
    Cooking,
    /// Done.
    Ready,
}

/// One order of one dish.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The dish, as the menu spells it.
    pub name: String,
    /// How far it has come.
    pub state: State,
    /// Tells orders of the same dish apart. Redis counts it up when the order is stored, so a new order
    /// has none; nor have orders that older versions stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
}

impl Order {
    /// A new order of the dish.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), state: State::Placed, id: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_order_is_placed_and_has_no_number_yet() {
        let json = serde_json::to_string(&Order::new("PIZZA")).unwrap();
        assert_eq!(json, r#"{"name":"PIZZA","state":"placed"}"#);
    }

    #[test]
    fn an_order_is_read_in_any_order_of_keys_and_with_unknown_ones() {
        let json = br#"{"id":7,"table":3,"state":"cooking","name":"PIZZA"}"#;
        let order: Order = serde_json::from_slice(json).unwrap();
        assert_eq!(order, Order { name: "PIZZA".into(), state: State::Cooking, id: Some(7) });
    }

    #[test]
    fn an_order_of_the_first_version_is_read() {
        let order: Order = serde_json::from_slice(br#"{"name":"PIZZA","state":"ready"}"#).unwrap();
        assert_eq!((order.state, order.id), (State::Ready, None));
    }
}
