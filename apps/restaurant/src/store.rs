//! The orders in Redis: `NAME` holds the newest order of a dish, `NAME:ID` each one.

use spin_sdk::redis::{Connection, Error, RedisParameter, RedisResult};
use spin_sdk::variables;

use crate::menu::Dish;
use crate::order::{Order, State};
use crate::refusal::Refusal;

const PLACE: &str = include_str!("place.lua");
const COUNTER: &str = "orders";
/// A day: long enough to eat, short enough that Redis does not fill up. The newest order of a dish stays.
const KEPT_SECONDS: i64 = 24 * 60 * 60;

/// A connection to the Redis that the app is configured with.
pub struct Store(Connection);

impl Store {
    /// Connects to the address in the variable `redis_address`.
    pub async fn open() -> Result<Self, Refusal> {
        let address = variable("redis_address").await?;
        Connection::open(address).await.map(Self).map_err(refuse)
    }

    /// Stores a new order of the dish and announces it on the channel in the variable `redis_channel`.
    pub async fn place(&self, dish: &'static Dish) -> Result<Order, Refusal> {
        let channel = variable("redis_channel").await?;
        let order = serde_json::to_vec(&Order::new(dish.name)).expect("an order is plain data");
        let arguments = [
            text(PLACE),
            RedisParameter::Int64(2),
            text(dish.name),
            text(COUNTER),
            RedisParameter::Binary(order),
            text(&channel),
            RedisParameter::Int64(KEPT_SECONDS),
        ];
        let results = self.0.execute("EVAL", arguments).await.map_err(refuse)?;
        match results.as_slice() {
            [RedisResult::Binary(json)] => parse(dish, json),
            _ => Err(Refusal::Unreadable(dish.name)),
        }
    }

    /// The newest order of the dish, or the one with that number. One that no kitchen has taken yet is announced again: perhaps none heard
    /// of it, as Redis keeps no messages. A kitchen that did hear leaves it alone.
    pub async fn find(&self, dish: &'static Dish, id: Option<u64>) -> Result<Order, Refusal> {
        let key = id.map_or(dish.name.to_owned(), |id| format!("{}:{id}", dish.name));
        let json = self.0.get(key).await.map_err(refuse)?;
        let json = json.ok_or(Refusal::NoSuchOrder(dish.name))?;
        let order = parse(dish, &json)?;
        if order.state == State::Placed && order.id.is_some() {
            let announced = self.0.publish(variable("redis_channel").await?, json).await;
            // What was asked for is known all the same.
            let _logged = announced.map_err(refuse);
        }
        Ok(order)
    }
}

fn parse(dish: &'static Dish, json: &[u8]) -> Result<Order, Refusal> {
    serde_json::from_slice(json).map_err(|error| {
        eprintln!("the stored order of {} can't be read: {error}", dish.name);
        Refusal::Unreadable(dish.name)
    })
}

fn text(value: &str) -> RedisParameter {
    RedisParameter::Binary(value.into())
}

async fn variable(name: &str) -> Result<String, Refusal> {
    variables::get(name).await.map_err(|error| {
        eprintln!("variable {name}: {error}");
        Refusal::Misconfigured
    })
}

fn refuse(error: Error) -> Refusal {
    eprintln!("redis: {error}");
    match error {
        Error::InvalidAddress => Refusal::Misconfigured,
        Error::TooManyConnections | Error::TypeError | Error::Other(_) => Refusal::RedisAway,
    }
}
