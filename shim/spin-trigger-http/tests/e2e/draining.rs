use std::time::{Duration, Instant};

use harness::wait::until;
use serde_json::json;
use spin_trigger_http::{Drained, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{get, read_head, read_to_end};
use crate::fixture::{PATIENCE, Running, inputs, run_within, serve_everything, settings};
use crate::frames::{Frames, GOAWAY, HEADERS};

async fn connect(running: &Running) -> TcpStream {
    TcpStream::connect(running.address).await.expect("the server accepts")
}

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
async fn during_the_linger_the_server_answers_with_connection_close() {
    let running = serve_everything("hello-p2", Settings { linger: PATIENCE / 6, ..settings() }).await;
    running.drain.cancel();
    until("health is 503", PATIENCE, async || get(running.address, "/.well-known/spin/health").await.status == 503).await;
    let mut stream = TcpStream::connect(running.address).await.expect("it still accepts");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n").await.expect("the server reads");
    let answer = read_to_end(stream).await;
    assert!(answer.status == 200 && answer.head.contains("connection: close"), "{answer:?}");
}

#[tokio::test]
async fn the_port_stays_open_for_the_whole_linger_without_traffic() {
    let linger = Duration::from_secs(2);
    let running = serve_everything("hello-p2", Settings { linger, ..settings() }).await;
    let (begun, address) = (Instant::now(), running.address);
    let ended = tokio::spawn(running.end());
    let mut last = Duration::ZERO;
    while TcpStream::connect(address).await.is_ok() {
        last = begun.elapsed();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(last >= linger - Duration::from_millis(200), "closed after {last:?}");
    assert_eq!(ended.await.expect("no panic"), Drained { abandoned: 0 });
}

/// Drains a server and waits until its port is closed.
async fn close_port(running: &Running) {
    running.drain.cancel();
    until("the port is closed", PATIENCE, async || TcpStream::connect(running.address).await.is_err()).await;
}

#[tokio::test]
async fn a_connection_made_before_the_port_closed_may_send_its_first_request_after_it() {
    let running = serve_everything("hello-p2", settings()).await;
    let (mut silent, mut begun) = (connect(&running).await, connect(&running).await);
    begun.write_all(b"GET / HTTP/1.1\r\nho").await.expect("the server reads");
    assert_eq!(get(running.address, "/").await.status, 200);
    close_port(&running).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    silent.write_all(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n").await.expect("the server reads");
    begun.write_all(b"st: t\r\n\r\n").await.expect("the server reads");
    for stream in [silent, begun] {
        let answer = read_to_end(stream).await;
        assert!(answer.status == 200 && answer.head.contains("connection: close"), "{answer:?}");
    }
    assert_eq!(running.end().await, Drained { abandoned: 0 });
}

#[tokio::test]
async fn a_connection_without_a_request_ends_five_seconds_after_the_port_is_closed() {
    let running = serve_everything("hello-p2", settings()).await;
    let mut silent = connect(&running).await;
    close_port(&running).await;
    let begun = Instant::now();
    assert_eq!(running.end().await, Drained { abandoned: 0 });
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
    assert_eq!(silent.read(&mut [0; 10]).await.expect("an orderly end"), 0);
}

#[tokio::test]
async fn a_second_request_that_has_begun_to_come_when_the_port_closes_is_answered() {
    let running = serve_everything("hello-p2", settings()).await;
    let mut stream = connect(&running).await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n").await.expect("the server reads");
    read_head(&mut stream).await;
    stream.write_all(b"GET / HTTP/1.1\r\nho").await.expect("the server reads");
    close_port(&running).await;
    stream.write_all(b"st: t\r\n\r\n").await.expect("the server reads");
    let rest = read_to_end(stream).await.raw;
    assert!(rest.contains("HTTP/1.1 200") && rest.contains("connection: close"), "{rest}");
    assert_eq!(running.end().await, Drained { abandoned: 0 });
}

/// The server has no time to accept them one by one before it closes the port.
#[tokio::test]
async fn connections_in_the_queue_of_the_kernel_are_served() {
    let running = serve_everything("hello-p2", settings()).await;
    let address = running.address;
    let streams: Vec<_> = (0..300).map(|_| std::net::TcpStream::connect(address).expect("the kernel accepts")).collect();
    let ended = tokio::spawn(running.end());
    let answers = streams.into_iter().map(async |stream| {
        stream.set_nonblocking(true).expect("a socket");
        let mut stream = TcpStream::from_std(stream).expect("a socket");
        stream.write_all(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n").await.expect("the server reads");
        read_to_end(stream).await.status
    });
    let answered = futures::future::join_all(answers).await.into_iter().filter(|status| *status == 200).count();
    assert_eq!((answered, ended.await.expect("no panic")), (300, Drained { abandoned: 0 }));
}

#[tokio::test]
async fn http2_clients_get_goaway_and_their_streams_are_finished() {
    let running = serve_everything("probe-http", settings()).await;
    let mut client = Frames::connect(running.address, &[]).await;
    client.get(1, "/?sleep=1500").await;
    assert_eq!(get(running.address, "/?env").await.status, 200);
    close_port(&running).await;
    let frames = client.until_the_end(None).await;
    let at = |wanted: u8| frames.iter().position(|(_, frame)| frame.kind == wanted).expect("such a frame");
    assert!(at(GOAWAY) < at(HEADERS), "{frames:?}");
    assert_eq!(frames[at(HEADERS)].1.status(), 200);
    let last = frames.iter().rfind(|(_, frame)| frame.kind == GOAWAY).expect("a GOAWAY");
    assert_eq!((last.1.code(), &last.1.payload[..4]), (0, &[0, 0, 0, 1][..]), "the last stream that the server read");
    assert_eq!(running.end().await, Drained { abandoned: 0 });
}

#[tokio::test]
async fn a_server_without_work_drains_at_once() {
    let running = serve_everything("hello-p2", settings()).await;
    let begun = std::time::Instant::now();
    assert_eq!(running.end().await, Drained { abandoned: 0 });
    assert!(begun.elapsed() < PATIENCE / 4);
}
