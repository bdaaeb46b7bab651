use std::time::Duration;

use bytes::Bytes;
use harness::wait::until;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use spin_trigger_http::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{get, read_to_end, request, send};
use crate::fixture::{PATIENCE, inputs, run, serve_everything, settings};
use crate::frames::{END_STREAM, Frames, HEADERS};

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_body_beyond_the_limit_is_413_announced_or_not() {
    let running = serve_everything("probe-http", Settings { max_body: 10, ..settings() }).await;
    assert_eq!(request(running.address, "POST", "/", "", "0123456789").await.status, 200);
    assert_eq!(request(running.address, "POST", "/", "", "0123456789a").await.told(), (413, ""));
    let chunked =
        "POST / HTTP/1.1\r\nhost: t\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n";
    assert_eq!(send(running.address, chunked).await.told(), (413, ""));
    running.end().await;
}

#[tokio::test]
async fn too_many_or_too_long_headers_are_431() {
    let running = serve_everything("hello-p2", settings()).await;
    assert_eq!(request(running.address, "GET", "/", &"a: b\r\n".repeat(100), "").await.status, 200);
    assert_eq!(request(running.address, "GET", "/", &"a: b\r\n".repeat(200), "").await.status, 431);
    // What upstream's server takes if it is told nothing else, and more.
    assert_eq!(request(running.address, "GET", "/", &format!("a: {}\r\n", "b".repeat(400_000)), "").await.status, 200);
    assert_eq!(request(running.address, "GET", "/", &format!("a: {}\r\n", "b".repeat(420_000)), "").await.status, 431);
    running.end().await;
}

#[tokio::test]
async fn a_shorter_limit_for_heads_holds_for_both_protocols() {
    let running = serve_everything("hello-p2", Settings { max_head: 20_000, ..settings() }).await;
    for (length, status) in [(15_000, 200), (25_000, 431)] {
        let long = format!("a: {}\r\n", "b".repeat(length));
        assert_eq!(request(running.address, "GET", "/", &long, "").await.status, status);
        let stream = TokioIo::new(TcpStream::connect(running.address).await.expect("the server accepts"));
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
        let connection = tokio::spawn(connection);
        let request = http::Request::get("http://test/").header("a", "b".repeat(length)).body(Empty::<Bytes>::new());
        let response = sender.send_request(request.expect("a request")).await.expect("an answer");
        assert_eq!(response.status(), status);
        connection.abort();
    }
    running.end().await;
}

#[tokio::test]
async fn too_many_fields_are_431_over_http2_too() {
    let running = serve_everything("hello-p2", settings()).await;
    let field = [0, 1, b'a', 1, b'b'];
    let mut client = Frames::connect(running.address, &[]).await;
    for (stream, fields, status) in [(1, 100, 200), (3, 200, 0)] {
        client.request(stream, 0x82, "/", END_STREAM, &field.repeat(fields)).await;
        let answer = client.next_of(HEADERS).await;
        assert_eq!((answer.stream, answer.status()), (stream, status));
    }
    running.end().await;
}

#[tokio::test]
async fn a_guest_that_takes_too_long_is_504_and_ended() {
    let running = serve_everything("probe-http", Settings { request_timeout: Some(SHORT), ..settings() }).await;
    assert_eq!(get(running.address, "/?loop").await.told(), (504, ""));
    assert_eq!(get(running.address, "/?sleep=60000").await.told(), (504, ""));
    assert_eq!(get(running.address, "/?env").await.status, 200);
    running.end().await;
}

/// Each needs the sockets to be looked at some times, for its connection, its request and its answer.
#[tokio::test]
async fn sockets_are_looked_at_after_each_turn_of_guests_that_loop() {
    let running = serve_everything("probe-http", Settings { request_timeout: Some(Duration::from_secs(4)), ..settings() }).await;
    let looping: Vec<_> = (0..2).map(|_| tokio::spawn(get_owned(running.address, "/?loop"))).collect();
    for _ in 0..12 {
        assert_eq!(get(running.address, "/?env").await.status, 200);
    }
    assert!(looping.iter().all(|looping| !looping.is_finished()), "twelve in a row are answered before their time is over");
    for looping in looping {
        assert_eq!(looping.await.expect("no panic").status, 504);
    }
    running.end().await;
}

async fn get_owned(address: std::net::SocketAddr, path: &'static str) -> crate::client::Answer {
    get(address, path).await
}

#[tokio::test]
async fn a_thousand_requests_at_once_wait_for_ten_instances() {
    let mut inputs = inputs(&["probe-http"], json!([{"route": "/...", "component": "probe-http"}]));
    inputs.engine.max_instances = 10;
    let running = run(inputs, settings()).await;
    let answers = futures::future::join_all((0..1000).map(|_| get(running.address, "/?sleep=1"))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1000);
    running.end().await;
}

#[tokio::test]
async fn a_full_queue_answers_503_and_when_to_come_again() {
    let running = serve_everything("probe-http", Settings { max_requests: 1, ..settings() }).await;
    let mut slow = TcpStream::connect(running.address).await.expect("the server accepts");
    slow.write_all(b"GET /?sleep=1500 HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").await.expect("the server reads");
    let mut refused = get(running.address, "/?env").await;
    until("the queue is full", PATIENCE, async || {
        refused = get(running.address, "/?env").await;
        refused.status == 503
    })
    .await;
    assert!(refused.head.contains("\r\nretry-after: 1"), "{refused:?}");
    assert_eq!(get(running.address, "/.well-known/spin/health").await.status, 200);
    assert_eq!(read_to_end(slow).await.status, 200);
    assert_eq!(get(running.address, "/?env").await.status, 200);
    running.end().await;
}

/// Whether the server closes a connection after being sent this.
async fn closes_after(settings: Settings, sent: &str) -> bool {
    let running = serve_everything("probe-http", settings).await;
    let mut stream = TcpStream::connect(running.address).await.expect("the server accepts");
    stream.write_all(sent.as_bytes()).await.expect("the server reads");
    let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.is_ok();
    running.end().await;
    closed
}

#[tokio::test]
async fn half_a_head_is_not_waited_for_for_ever() {
    assert!(closes_after(Settings { head_timeout: SHORT, ..settings() }, "GET / HTTP/1.1\r\nhost:").await);
}

#[tokio::test]
async fn a_connection_without_requests_is_closed() {
    assert!(closes_after(Settings { idle_timeout: SHORT, head_timeout: SHORT, ..settings() }, "").await);
}

#[tokio::test]
async fn a_connection_idle_after_its_answer_is_closed() {
    let short = Settings { idle_timeout: SHORT, head_timeout: SHORT, ..settings() };
    assert!(closes_after(short, "GET /?env HTTP/1.1\r\nhost: t\r\n\r\n").await);
}

#[tokio::test]
async fn a_body_that_stops_coming_ends_the_request() {
    let short = Settings { stall_timeout: SHORT, idle_timeout: SHORT, head_timeout: SHORT, ..settings() };
    assert!(closes_after(short, "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 9\r\n\r\nhalf").await);
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut_off() {
    let short = Settings { stall_timeout: SHORT, head_timeout: SHORT, ..settings() };
    let running = serve_everything("probe-http", short).await;
    let mut stream = TcpStream::connect(running.address).await.expect("the server accepts");
    stream.write_all(b"GET /?stream=200000000 HTTP/1.1\r\nhost: t\r\n\r\n").await.expect("the server reads");
    assert_eq!(get(running.address, "/?env").await.status, 200);
    // Draining waits for every answer to be taken: it ends only because this one's connection is cut.
    assert_eq!(running.end().await.abandoned, 0);
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all).await;
    assert!(all.len() < 200_000_000, "the whole answer came: {}", all.len());
}
