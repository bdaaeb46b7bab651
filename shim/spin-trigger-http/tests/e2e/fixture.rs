//! A server with guests, and how it is ended.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use spin_runtime::{Code, Inputs, Runtime, precompile};
use spin_trigger_http::{Drained, Error, Listen, Server, Settings};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A server that runs; it is drained when the test asks for it.
pub struct Running {
    pub address: SocketAddr,
    pub drain: CancellationToken,
    ended: JoinHandle<Drained>,
}

/// The guest of this name, compiled once per test run.
fn guest(name: &str) -> Code {
    Code::Precompiled(harness::app::compiled(name, |wasm| precompile::precompile(wasm).expect("the guest compiles")))
}

/// The inputs of an app with these guests and these HTTP triggers.
pub fn inputs(guests: &[&str], triggers: Value) -> Inputs {
    let component = |id: &&str| {
        let hosts = json!(["http://*.spin.internal", "http://self", "http://127.0.0.1:*"]);
        json!({"id": id, "source": {"content_type": "application/wasm", "source": "x.wasm"}, "metadata": {"allowed_outbound_hosts": hosts}})
    };
    let configs = triggers.as_array().expect("a list of triggers").iter().enumerate();
    let triggers: Vec<_> = configs
        .map(|(index, config)| json!({"id": format!("trigger-{index}"), "trigger_type": "http", "trigger_config": config}))
        .collect();
    let app = json!({
        "spin_lock_version": 0,
        "metadata": {"name": "tested", "version": "1.2.3"},
        "triggers": triggers,
        "components": guests.iter().map(component).collect::<Vec<_>>(),
    });
    let app = spin_app::LockedApp::parse(app.to_string().as_bytes()).expect("a sound app");
    let mut inputs = Inputs::new(app);
    inputs.code = guests.iter().map(|id| ((*id).to_owned(), guest(id))).collect::<BTreeMap<_, _>>();
    inputs
}

/// Settings for a test: any port of the loopback, no lingering.
pub fn settings() -> Settings {
    Settings { listen: Listen::At(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))), linger: Duration::ZERO, ..Settings::default() }
}

/// Binds a server without running it.
pub async fn bind(inputs: Inputs, settings: Settings) -> Result<Server, Error> {
    let runtime: Arc<Runtime> = Runtime::build(inputs).await.expect("the app can be built");
    Server::bind(&runtime, settings).await
}

/// Runs these triggers with the default settings for tests.
pub async fn serve(guests: &[&str], triggers: Value) -> Running {
    run(inputs(guests, triggers), settings()).await
}

/// Runs one guest that answers every path.
pub async fn serve_everything(guest: &str, settings: Settings) -> Running {
    run(inputs(&[guest], json!([{"route": "/...", "component": guest}])), settings).await
}

pub async fn run(inputs: Inputs, settings: Settings) -> Running {
    run_within(inputs, settings, PATIENCE).await
}

pub async fn run_within(inputs: Inputs, settings: Settings, grace: Duration) -> Running {
    let server = bind(inputs, settings).await.expect("the server starts");
    let drain = CancellationToken::new();
    Running { address: server.local_addr(), drain: drain.clone(), ended: tokio::spawn(server.run(drain, grace)) }
}

impl Running {
    /// Drains the server and waits for its end.
    pub async fn end(self) -> Drained {
        self.drain.cancel();
        tokio::time::timeout(PATIENCE, self.ended).await.expect("the server ends in time").expect("the server does not panic")
    }
}
