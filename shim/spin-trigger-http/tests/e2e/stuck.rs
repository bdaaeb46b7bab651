//! The health path answers 503 while all instances are stuck.

use std::time::Duration;

use harness::wait::until;
use serde_json::json;
use spin_trigger_http::Settings;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::get;
use crate::fixture::{PATIENCE, Running, inputs, run, settings};

const HEALTH: &str = "/.well-known/spin/health";

/// An app with one instance at a time, which counts as stuck after `stuck_after`.
async fn alone(stuck_after: Duration) -> Running {
    let mut inputs = inputs(&["probe-http"], json!([{"route": "/...", "component": "probe-http"}]));
    inputs.engine.max_instances = 1;
    run(inputs, Settings { stuck_after, ..settings() }).await
}

async fn client(running: &Running, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(running.address).await.expect("the server accepts");
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n").as_bytes()).await.expect("the server reads");
    stream
}

#[tokio::test]
async fn health_is_503_while_requests_wait_and_no_instance_becomes_free() {
    let running = alone(Duration::from_millis(300)).await;
    let working = client(&running, "/?sleep=10000000").await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(get(running.address, HEALTH).await.told(), (200, "OK"), "nobody waits");
    let waiting = client(&running, "/?count").await;
    until("health fails", PATIENCE, async || get(running.address, HEALTH).await.status == 503).await;
    assert!(get(running.address, HEALTH).await.body.starts_with("stuck"));
    drop(waiting);
    assert_eq!(get(running.address, HEALTH).await.status, 503, "nothing has become better");
    drop(working);
    until("health is well again", PATIENCE, async || get(running.address, HEALTH).await.told() == (200, "OK")).await;
    running.end().await;
}

#[tokio::test]
async fn health_is_200_while_requests_wait_and_instances_become_free() {
    let running = alone(Duration::from_millis(800)).await;
    let address = running.address;
    let asking: Vec<_> = (0..30).map(|_| tokio::spawn(async move { get(address, "/?sleep=100").await.status })).collect();
    while !asking.iter().all(tokio::task::JoinHandle::is_finished) {
        assert_eq!(get(address, HEALTH).await.told(), (200, "OK"));
    }
    for asked in asking {
        assert_eq!(asked.await.expect("no panic"), 200);
    }
    running.end().await;
}
