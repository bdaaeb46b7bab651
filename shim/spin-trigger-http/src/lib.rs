//! The HTTP trigger: accept, route, handle, answer, drain.
//!
//! [`Server::bind`] compiles the routes, checks that every component can answer, and binds the port; what is wrong with an
//! app is said there. [`Server::run`] serves until it is told to drain. The guest is called through `spin-runtime`.

mod accept;
mod activity;
mod answer;
mod app;
mod body;
mod busy_poll;
mod chaining;
mod client_wait;
mod config;
mod connection;
mod error;
mod headers;
mod listener;
mod memory_budget;
mod protocol;
mod registry;
mod reserved;
mod route;
mod router;
mod server;
mod settings;
mod socket;
mod streams;
mod worker;

pub use error::Error;
pub use listener::Listen;
pub use route::PatternError;
pub use router::{Match, Route, Router};
pub use server::{Capacity, Drained, Resizer, Server};
pub use settings::Settings;
pub use worker::runtime;
