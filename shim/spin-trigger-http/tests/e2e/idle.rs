//! Connections whose clients do nothing, or too little, end on time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use spin_trigger_http::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::client::{get, read_head};
use crate::fixture::{PATIENCE, serve_everything, settings};
use crate::frames::{Frames, GOAWAY, HEADERS, PING, RST_STREAM, WINDOW_UPDATE};

const IDLE: Duration = Duration::from_millis(1500);

/// Shorter than `IDLE`: an idle connection that counts as one with half a head would end too early.
const HEAD: Duration = Duration::from_millis(500);

/// How far the end of a connection may be from its time: the coarse clock, timers, a busy machine.
const TOLERANCE: Duration = Duration::from_millis(700);

fn idle() -> Settings {
    Settings { idle_timeout: IDLE, head_timeout: HEAD, ..settings() }
}

/// An HTTP/2 connection that had one request, until its end; meanwhile its client sends these frames.
async fn idle_http2_connection(busy: Option<(u8, &[u8])>) {
    let running = serve_everything("hello-p2", idle()).await;
    let mut client = Frames::connect(running.address, &[]).await;
    client.get(1, "/").await;
    client.next_of(HEADERS).await;
    let frames = client.until_the_end(busy).await;
    let (at, last) = frames.last().expect("a frame before the end");
    assert_eq!((last.kind, last.code()), (GOAWAY, 0), "{frames:?}");
    assert!(*at >= IDLE - TOLERANCE && *at <= IDLE + TOLERANCE, "{at:?}");
    running.end().await;
}

#[tokio::test]
async fn an_idle_http2_connection_ends_with_goaway_at_its_time() {
    idle_http2_connection(None).await;
}

#[tokio::test]
async fn pings_and_window_updates_do_not_start_a_head() {
    idle_http2_connection(Some((PING, b"12345678"))).await;
    idle_http2_connection(Some((WINDOW_UPDATE, &[0, 0, 0, 1]))).await;
}

#[tokio::test]
async fn an_http2_connection_with_an_open_stream_is_not_idle() {
    let running = serve_everything("probe-http", idle()).await;
    let mut client = Frames::connect(running.address, &[]).await;
    client.get(1, &format!("/?sleep={}", (IDLE * 2).as_millis())).await;
    let frames = client.until_the_end(None).await;
    let kinds: Vec<u8> =
        frames.iter().map(|(_, frame)| frame.kind).filter(|kind| [HEADERS, RST_STREAM, GOAWAY].contains(kind)).collect();
    assert_eq!(kinds.first(), Some(&HEADERS), "{frames:?}");
    running.end().await;
}

/// GOAWAY comes before the end, with the last stream that was read. So each request is answered, or its
/// client knows that it can send it again.
#[tokio::test]
async fn requests_at_the_idle_timeout_of_http2_are_answered_or_refused_by_goaway() {
    let running = serve_everything("hello-p2", Settings { idle_timeout: HEAD, ..settings() }).await;
    let outcomes =
        (0..60).map(|index| late_request(running.address, HEAD + Duration::from_millis(index) - Duration::from_millis(30)));
    let outcomes = futures::future::join_all(outcomes).await;
    let lost = outcomes.iter().filter(|outcome| **outcome == Outcome::Lost).count();
    assert_eq!(lost, 0, "{outcomes:?}");
    running.end().await;
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Answered,
    /// GOAWAY names an earlier stream as the last one.
    Refused,
    Lost,
}

/// Sends a second request on a connection that has been idle for this time.
async fn late_request(address: SocketAddr, idle: Duration) -> Outcome {
    let mut client = Frames::connect(address, &[]).await;
    client.get(1, "/").await;
    client.next_of(HEADERS).await;
    sleep(idle).await;
    client.get(3, "/").await;
    let frames = client.until_the_end(None).await;
    let was_read = |frame: &crate::frames::Frame| frame.kind == GOAWAY && frame.payload[..4] >= 3u32.to_be_bytes()[..];
    match frames.iter().rfind(|(_, frame)| frame.kind == GOAWAY) {
        _ if frames.iter().any(|(_, frame)| frame.kind == HEADERS && frame.stream == 3) => Outcome::Answered,
        Some((_, last)) if !was_read(last) => Outcome::Refused,
        _ => Outcome::Lost,
    }
}

/// The time from the first byte to the connection's end, where the client sends nothing for `before` and then
/// `sent`, byte by byte.
async fn trickle(address: SocketAddr, before: Duration, sent: &[u8]) -> Duration {
    let mut stream = TcpStream::connect(address).await.expect("the server accepts");
    stream.set_nodelay(true).expect("a socket");
    sleep(before).await;
    let begun = Instant::now();
    for byte in sent {
        let _ended = stream.write_all(&[*byte]).await;
        if timeout(Duration::from_millis(50), stream.read(&mut [0; 256])).await.is_ok() {
            return begun.elapsed();
        }
    }
    panic!("the connection goes on after {:?}", begun.elapsed());
}

#[tokio::test]
async fn half_a_head_ends_on_time_counted_from_its_first_byte() {
    let limit = Duration::from_secs(1);
    let running = serve_everything("hello-p2", Settings { head_timeout: limit, ..settings() }).await;
    let head = format!("GET / HTTP/1.1\r\nhost: {}", "a".repeat(200));
    for before in [0, 300, 600, 900].map(Duration::from_millis) {
        let time = trickle(running.address, before, head.as_bytes()).await;
        assert!(time >= limit - TOLERANCE / 4 && time <= limit + TOLERANCE, "{time:?} after {before:?}");
    }
    let preface = trickle(running.address, Duration::ZERO, b"PRI * HTTP/2.0\r\n\r\nSM\r\n").await;
    assert!(preface <= limit + TOLERANCE, "{preface:?}");
    running.end().await;
}

#[tokio::test]
async fn the_idle_timeout_is_longer_than_that_of_usual_proxies() {
    assert!(Settings::default().idle_timeout > Duration::from_secs(90), "Traefik's, the longest of the usual ones");
}

#[tokio::test]
async fn an_idle_http1_connection_ends_at_its_time() {
    let running = serve_everything("hello-p2", idle()).await;
    let mut stream = TcpStream::connect(running.address).await.expect("the server accepts");
    for _ in 0..2 {
        // After half the time-out, the next request starts a new one.
        stream.write_all(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n").await.expect("the server reads");
        assert!(read_head(&mut stream).await.contains("200"));
        sleep(IDLE / 2).await;
    }
    let begun = Instant::now();
    let ended = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.expect("in time");
    ended.expect("an orderly end");
    assert!(begun.elapsed() <= IDLE / 2 + TOLERANCE, "{:?}", begun.elapsed());
    running.end().await;
}

#[tokio::test]
async fn a_stream_whose_client_does_not_read_is_reset_alone() {
    let running = serve_everything("probe-http", Settings { stall_timeout: HEAD, ..settings() }).await;
    let mut client = Frames::connect(running.address, &[(crate::frames::INITIAL_WINDOW, 100)]).await;
    client.get(1, "/?stream=1000000").await;
    client.get(3, "/?env").await;
    let reset = client.next_of(RST_STREAM).await;
    assert_eq!(reset.stream, 1);
    client.get(5, "/?env").await;
    assert_eq!(client.next_of(HEADERS).await.stream, 5, "the connection goes on");
    assert_eq!(get(running.address, "/?env").await.status, 200);
    running.end().await;
}
