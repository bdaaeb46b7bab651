//! A subscriber with guests, and how it is ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use spin_runtime::{Code, Inputs, Runtime, precompile};
use spin_trigger_redis::{Drained, Error, Settings, Subscriber};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::server::RedisServer;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A subscriber that runs; it is drained when the test asks for it.
pub struct Running {
    drain: CancellationToken,
    ended: JoinHandle<Drained>,
}

/// The guest of this name, compiled once per test run.
fn guest(name: &str) -> Code {
    Code::Precompiled(harness::app::compiled(name, |wasm| precompile::precompile(wasm).expect("the guest compiles")))
}

/// An app: its listeners are (component id, guest, channel); each pushes to the list of its component's id.
pub fn inputs(redis: &RedisServer, address: &str, listeners: &[(&str, &str, &str)]) -> Inputs {
    let component = |(id, _, _): &(&str, &str, &str)| {
        json!({
            "id": id,
            "source": {"content_type": "application/wasm", "source": "x.wasm"},
            "metadata": {"allowed_outbound_hosts": ["redis://127.0.0.1:*"]},
            "config": {"list": id, "redis_address": redis.address()},
        })
    };
    let trigger = |(id, _, channel): &(&str, &str, &str)| {
        let config = json!({"component": id, "channel": channel});
        json!({"id": format!("trigger-{id}"), "trigger_type": "redis", "trigger_config": config})
    };
    let app = json!({
        "spin_lock_version": 0,
        "metadata": {"name": "tested", "triggers": {"redis": {"address": address}}},
        "variables": {"channel": {"default": "from-a-variable"}, "address": {"default": redis.address()}},
        "triggers": listeners.iter().map(trigger).collect::<Vec<Value>>(),
        "components": listeners.iter().map(component).collect::<Vec<Value>>(),
    });
    let app = spin_app::LockedApp::parse(app.to_string().as_bytes()).expect("a sound app");
    let mut inputs = Inputs::new(app);
    inputs.code = listeners.iter().map(|(id, name, _)| ((*id).to_owned(), guest(name))).collect::<BTreeMap<_, _>>();
    inputs
}

pub async fn subscriber(inputs: Inputs, settings: Settings) -> Result<Subscriber, Error> {
    let runtime: Arc<Runtime> = Runtime::build(inputs).await.expect("the app can be built");
    Subscriber::new(&runtime, settings).await
}

/// Runs one guest that listens to the channel `orders` and pushes to the list `sink`.
pub async fn listen(redis: &RedisServer, guest: &str, settings: Settings) -> Running {
    let running = run(inputs(redis, &redis.address(), &[("sink", guest, "orders")]), settings, PATIENCE).await;
    redis.listened_to("orders").await;
    running
}

pub async fn run(inputs: Inputs, settings: Settings, grace: Duration) -> Running {
    let subscriber = subscriber(inputs, settings).await.expect("the subscriber starts");
    let drain = CancellationToken::new();
    Running { drain: drain.clone(), ended: tokio::spawn(subscriber.run(drain, grace)) }
}

impl Running {
    /// Drains the subscriber and waits for its end.
    pub async fn end(self) -> Drained {
        self.drain.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.ended).await.expect("the subscriber ends in time");
        ended.expect("the subscriber does not panic")
    }
}
