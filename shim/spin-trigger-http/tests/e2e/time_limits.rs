//! The limit of the time without progress on a request.

use std::time::Duration;

use serde_json::json;
use spin_trigger_http::Settings;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{get, read_to_end, request};
use crate::fixture::{inputs, run, serve_everything, settings};

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn only_an_answer_without_progress_is_broken_off() {
    for (guest, stops) in [("probe-http", "/?begin=sleep"), ("probe-p3", "/?begin=10000000")] {
        let running = serve_everything(guest, Settings { request_timeout: Some(SHORT * 2), ..settings() }).await;
        let stopped = get(running.address, stops).await;
        assert!(stopped.status == 200 && !stopped.raw.ends_with("0\r\n\r\n"), "{guest}: {stopped:?}");
        let whole = get(running.address, "/?drip=100").await;
        assert_eq!(whole.told(), (200, &*"drop".repeat(10)), "{guest}");
        running.end().await;
    }
}

#[tokio::test]
async fn work_after_the_answer_ends_at_the_limit() {
    let mut inputs = inputs(&["probe-http"], json!([{"route": "/...", "component": "probe-http"}]));
    inputs.engine.max_instances = 1;
    let running = run(inputs, Settings { request_timeout: Some(SHORT), ..settings() }).await;
    for _ in 0..3 {
        assert_eq!(get(running.address, "/?after=loop").await.status, 200);
    }
    running.end().await;
}

#[tokio::test]
async fn a_slow_upload_is_progress_and_an_unread_one_is_not() {
    for (guest, status) in [("probe-http", 200), ("outbound-p3", 502)] {
        let running = serve_everything(guest, Settings { request_timeout: Some(SHORT * 2), ..settings() }).await;
        let mut stream = TcpStream::connect(running.address).await.expect("the server accepts");
        stream
            .write_all(b"POST / HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: 10\r\n\r\n")
            .await
            .expect("it reads");
        for _ in 0..10 {
            tokio::time::sleep(SHORT / 2).await;
            stream.write_all(b"x").await.expect("the server reads");
        }
        assert_eq!(read_to_end(stream).await.status, status, "{guest}");
        running.end().await;
    }
    let running = serve_everything("probe-http", Settings { request_timeout: Some(SHORT), ..settings() }).await;
    assert_eq!(request(running.address, "POST", "/?early=60000", "", "body").await.told(), (504, ""));
    running.end().await;
}

#[tokio::test]
async fn a_slow_reader_does_not_count_as_a_slow_guest() {
    let running = serve_everything("probe-http", Settings { request_timeout: Some(SHORT), ..settings() }).await;
    let mut stream = TcpStream::connect(running.address).await.expect("the server accepts");
    stream.write_all(b"GET /?stream=20000000 HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").await.expect("it reads");
    tokio::time::sleep(SHORT * 5).await;
    assert_eq!(read_to_end(stream).await.body.len(), 20_000_000);
    running.end().await;
}
