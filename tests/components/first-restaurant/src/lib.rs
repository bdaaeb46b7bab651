//! The restaurant as its first version was: spin-sdk 3, configured by the component's environment.
use std::env;

use anyhow::{Context, Result};
use spin_sdk::http::{IntoResponse, Method, Request, Response};
use spin_sdk::{http_component, redis::Connection};

#[http_component]
fn restaurant(request: Request) -> Result<impl IntoResponse> {
    let redis = Connection::open(&env::var("REDIS_ADDRESS")?).context("open")?;
    let name = request.path().strip_prefix("/order/").context("no order")?;
    if *request.method() == Method::Get {
        return Ok(match redis.get(name).context("get")? {
            Some(order) => Response::new(200, order),
            None => Response::new(404, ()),
        });
    }
    let order = format!(r#"{{"name":"{name}","state":"placed"}}"#).into_bytes();
    redis.set(name, &order).context("set")?;
    redis.publish(&env::var("REDIS_CHANNEL")?, &order).context("publish")?;
    Ok(Response::new(201, order))
}
