//! Many servers behind a balancer that learns of their end late: rolling updates and scaling down. The trial
//! is short by default; with UPDATE_TRIAL_REQUESTS each change is repeated until it has seen so many requests.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use harness::load::{self, Load};
use serde_json::json;
use spin_trigger_http::Settings;
use tokio::time::sleep;

use crate::fixture::{Running, inputs, run, settings};

/// How long the balancer goes on sending to a server that drains: until every node's proxy has heard of it.
const PROPAGATION: Duration = Duration::from_millis(900);
const LINGER: Duration = Duration::from_millis(1200);

/// The servers that the balancer knows.
#[derive(Default)]
struct Balancer {
    targets: Mutex<Vec<String>>,
    next: AtomicUsize,
}

impl Balancer {
    fn target(&self) -> String {
        let targets = self.targets.lock().expect("no panic");
        targets[self.next.fetch_add(1, Relaxed) % targets.len()].clone()
    }

    async fn start(&self) -> Running {
        let triggers = json!([{"route": "/...", "static_response": {"body": "hello"}}]);
        let running = run(inputs(&[], triggers), Settings { linger: LINGER, ..settings() }).await;
        self.targets.lock().expect("no panic").push(running.address.to_string());
        running
    }

    /// Ends a server, as the kubelet does, and takes it off the list later, as the cluster does.
    async fn end(&self, running: Running) {
        let address = running.address.to_string();
        let (drained, ()) = tokio::join!(running.end(), async {
            sleep(PROPAGATION).await;
            self.targets.lock().expect("no panic").retain(|target| *target != address);
        });
        assert_eq!(drained.abandoned, 0);
    }
}

/// The requests that each trial sends at least.
fn trial_requests() -> usize {
    match std::env::var("UPDATE_TRIAL_REQUESTS") {
        Ok(count) => count.parse().expect("UPDATE_TRIAL_REQUESTS is a number"),
        Err(_) => 1,
    }
}

/// Repeats `change` on fresh servers. None of the requests that are sent meanwhile may be lost: two a second
/// for each server, as with many replicas, half of them on new connections and half on kept ones.
async fn assert_none_lost(servers: u32, change: impl AsyncFn(&Balancer, Vec<Running>) -> Vec<Running>) {
    let mut sent = 0;
    while sent < trial_requests() {
        let balancer = Arc::new(Balancer::default());
        let mut running = Vec::new();
        for _ in 0..servers {
            running.push(balancer.start().await);
        }
        let loads = [true, false].map(|keep_alive| {
            let load = Load { rate: f64::from(servers), duration: Duration::from_secs(5), keep_alive };
            let balancer = balancer.clone();
            tokio::spawn(async move { load::run(&load, "/", || balancer.target()).await })
        });
        sleep(Duration::from_secs(1)).await;
        let left = change(&balancer, running).await;
        for load in loads {
            let outcomes = load.await.expect("no panic");
            assert!(outcomes.lost.is_empty() && outcomes.answered == outcomes.sent, "after {sent}: {outcomes}");
            sent += outcomes.sent;
        }
        futures::future::join_all(left.into_iter().map(Running::end)).await;
    }
    eprintln!("{sent} requests, none lost");
}

#[tokio::test]
async fn scaling_down_loses_no_request() {
    assert_none_lost(40, async |balancer, mut running| {
        let last = running.split_off(39);
        futures::future::join_all(running.into_iter().map(|running| balancer.end(running))).await;
        last
    })
    .await;
}

#[tokio::test]
async fn rolling_updates_lose_no_request() {
    assert_none_lost(8, async |balancer, old| {
        let updates = (0u32..).zip(old).map(async |(index, old)| {
            sleep(Duration::from_millis(200) * index).await;
            let new = balancer.start().await;
            balancer.end(old).await;
            new
        });
        futures::future::join_all(updates).await
    })
    .await;
}
