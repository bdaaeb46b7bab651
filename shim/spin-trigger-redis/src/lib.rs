//! The Redis trigger: subscribe, handle, reconnect.
//!
//! Every message goes to every component that listens to its channel, each time in a new instance, many at once and so in no
//! particular order. A message is handled at most once: what is published while the connection is down is not seen, and what
//! a component fails on is not tried again. Each replica of an app gets every message.

mod backoff;
mod config;
mod dispatch;
mod error;
mod gate;
mod server;
mod settings;
mod subscriber;

pub use error::Error;
pub use settings::Settings;
pub use subscriber::{Drained, Subscriber};
