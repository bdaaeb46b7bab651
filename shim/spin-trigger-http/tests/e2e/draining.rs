use std::time::Duration;

use harness::wait::until;
use serde_json::json;
use spin_trigger_http::{Drained, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{get, read_head, read_to_end};
use crate::fixture::{PATIENCE, inputs, run_within, serve_everything, settings};

/// A connection with a request that the guest has begun to work on.
async fn slow_request(address: std::net::SocketAddr, milliseconds: u32) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("the server accepts");
    let text = format!("GET /?sleep={milliseconds} HTTP/1.1\r\nhost: t\r\n\r\n");
    stream.write_all(text.as_bytes()).await.expect("the server reads");
    // The server reads connections in their order: once this is answered the one above is in work.
    assert_eq!(get(address, "/?env").await.status, 200);
    stream
}

#[tokio::test]
async fn what_is_in_flight_is_finished_and_its_connection_closed() {
    let running = serve_everything("probe-http", settings()).await;
    let slow = slow_request(running.address, 700).await;
    let address = running.address;
    assert_eq!(running.end().await, Drained { abandoned: 0 });
    let answer = read_to_end(slow).await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("connection: close"), "{answer:?}");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn the_grace_period_is_the_longest_wait() {
    let inputs = inputs(&["probe-http"], json!([{"route": "/...", "component": "probe-http"}]));
    let running = run_within(inputs, settings(), Duration::from_millis(300)).await;
    let slow = slow_request(running.address, 60_000).await;
    assert_eq!(running.end().await, Drained { abandoned: 1 });
    assert_eq!(read_to_end(slow).await.status, 0);
}

#[tokio::test]
async fn a_connection_that_waits_for_nothing_is_closed() {
    let running = serve_everything("hello-p2", settings()).await;
    let mut stream = TcpStream::connect(running.address).await.expect("the server accepts");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n").await.expect("the server reads");
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 200"));
    assert_eq!(running.end().await, Drained { abandoned: 0 });
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.expect("an orderly end");
    assert!(rest.contains("hello"), "{rest}");
}

#[tokio::test]
async fn while_it_lingers_the_server_answers_and_says_goodbye() {
    let running = serve_everything("hello-p2", Settings { linger: PATIENCE, ..settings() }).await;
    running.drain.cancel();
    until("health is 503", PATIENCE, async || get(running.address, "/.well-known/spin/health").await.status == 503).await;
    let mut stream = TcpStream::connect(running.address).await.expect("it still accepts");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n").await.expect("the server reads");
    let answer = read_to_end(stream).await;
    assert!(answer.status == 200 && answer.head.contains("connection: close"), "{answer:?}");
    let quiet = std::time::Instant::now();
    assert_eq!(running.end().await, Drained { abandoned: 0 });
    assert!(quiet.elapsed() < PATIENCE / 2, "silence ends the lingering");
}

#[tokio::test]
async fn a_server_without_work_drains_at_once() {
    let running = serve_everything("hello-p2", settings()).await;
    let begun = std::time::Instant::now();
    assert_eq!(running.end().await, Drained { abandoned: 0 });
    assert!(begun.elapsed() < PATIENCE / 4);
}
