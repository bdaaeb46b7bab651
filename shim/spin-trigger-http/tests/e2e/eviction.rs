//! Clients that hold scarce resources are evicted when other clients need them.

use std::time::Duration;

use harness::wait::until;
use serde_json::json;
use spin_trigger_http::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{get, read_head, read_to_end, request};
use crate::fixture::{PATIENCE, inputs, run, serve_everything, settings};
use crate::frames::{DATA, Frames, HEADERS, INITIAL_WINDOW, MAX_STREAMS, RST_STREAM, SETTINGS};

/// Connections that have sent `sent` and do nothing more.
async fn connections(count: usize, address: std::net::SocketAddr, sent: &str) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(address).await.expect("the kernel accepts");
        let _ended = stream.write_all(sent.as_bytes()).await;
        streams.push(stream);
    }
    streams
}

/// Whether the server has closed a connection.
async fn has_ended(stream: &mut TcpStream) -> bool {
    let mut bytes = Vec::new();
    timeout(Duration::from_millis(300), stream.read_to_end(&mut bytes)).await.is_ok()
}

/// Opens many more such connections than the server has places for. Other clients are answered.
async fn others_are_answered_beside(sent: &str) {
    let running = serve_everything("hello-p2", Settings { max_connections: 8, ..settings() }).await;
    let open = connections(40, running.address, sent).await;
    for _ in 0..10 {
        assert_eq!(get(running.address, "/").await.told(), (200, "hello"));
    }
    drop(open);
    running.end().await;
}

#[tokio::test]
async fn silent_connections_make_room_for_others() {
    others_are_answered_beside("").await;
}

#[tokio::test]
async fn idle_connections_make_room_for_others() {
    others_are_answered_beside("GET / HTTP/1.1\r\nhost: t\r\n\r\n").await;
}

#[tokio::test]
async fn half_heads_make_room_for_others() {
    others_are_answered_beside("GET / HTTP/1.1\r\nhost: t\r\na: b").await;
}

#[tokio::test]
async fn idle_http2_connections_make_room_for_others() {
    others_are_answered_beside("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0").await;
}

#[tokio::test]
async fn the_connection_that_has_been_idle_for_the_longest_ends_first() {
    let running = serve_everything("hello-p2", Settings { max_connections: 3, ..settings() }).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(running.address).await.expect("the server accepts");
        stream.write_all(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n").await.expect("the server reads");
        read_head(&mut stream).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
        open.push(stream);
    }
    assert_eq!(get(running.address, "/").await.status, 200);
    let mut ended = Vec::new();
    for stream in &mut open {
        ended.push(has_ended(stream).await);
    }
    assert_eq!(ended, [true, false, false]);
    running.end().await;
}

#[tokio::test]
async fn connections_at_work_are_not_ended_for_others() {
    let running = serve_everything("probe-http", Settings { max_connections: 4, ..settings() }).await;
    let sent = "GET /?sleep=1500 HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";
    let at_work = connections(4, running.address, sent).await;
    assert_eq!(get(running.address, "/?env").await.status, 200);
    for stream in at_work {
        assert_eq!(read_to_end(stream).await.status, 200);
    }
    running.end().await;
}

#[tokio::test]
async fn half_heads_that_take_all_memory_for_heads_end_for_others() {
    let running = serve_everything("hello-p2", Settings { max_head_memory: 256 << 10, ..settings() }).await;
    let half = format!("GET / HTTP/1.1\r\nhost: t\r\na: {}", "b".repeat(100_000));
    let mut first = connections(1, running.address, &half).await.remove(0);
    // Longer than the server's clock takes to advance.
    tokio::time::sleep(Duration::from_millis(150)).await;
    let others = connections(9, running.address, &half).await;
    let long = format!("a: {}\r\n", "b".repeat(100_000));
    for _ in 0..3 {
        assert_eq!(request(running.address, "GET", "/", &long, "").await.told(), (200, "hello"));
    }
    let ended = timeout(PATIENCE, first.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_ok(), "the first has waited for the longest");
    drop(others);
    running.end().await;
}

/// A server that has two requests in work at most.
async fn few_instances() -> crate::fixture::Running {
    let inputs = inputs(&["probe-http"], json!([{"route": "/...", "component": "probe-http"}]));
    run(inputs, Settings { max_working: 2, ..settings() }).await
}

#[tokio::test]
async fn clients_that_do_not_read_make_room_for_others() {
    let running = few_instances().await;
    let readers = connections(4, running.address, "GET /?stream=50000000 HTTP/1.1\r\nhost: t\r\n\r\n").await;
    for _ in 0..3 {
        assert_eq!(get(running.address, "/?env").await.status, 200);
    }
    drop(readers);
    running.end().await;
}

#[tokio::test]
async fn clients_that_send_a_body_byte_by_byte_make_room_for_others() {
    let running = few_instances().await;
    let head = "POST /?env HTTP/1.1\r\nhost: t\r\ncontent-length: 1000\r\n\r\n";
    let slow: Vec<_> = connections(2, running.address, head)
        .await
        .into_iter()
        .map(|mut stream| {
            tokio::spawn(async move {
                while stream.write_all(b"x").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            })
        })
        .collect();
    for _ in 0..3 {
        assert_eq!(get(running.address, "/?env").await.status, 200);
    }
    until("one is evicted", PATIENCE, async || slow.iter().any(tokio::task::JoinHandle::is_finished)).await;
    slow.into_iter().for_each(|slow| slow.abort());
    running.end().await;
}

#[tokio::test]
async fn unread_streams_make_room_for_others() {
    for length in [60_000, 10_000_000] {
        let running = few_instances().await;
        let mut client = Frames::connect(running.address, &[(INITIAL_WINDOW, 10)]).await;
        for stream in [1, 3, 5, 7] {
            client.get(stream, &format!("/?stream={length}")).await;
        }
        for _ in 0..3 {
            assert_eq!(get(running.address, "/?env").await.status, 200, "{length}");
        }
        client.next_of(RST_STREAM).await;
        drop(client);
        running.end().await;
    }
}

#[tokio::test]
async fn the_settings_frame_has_the_limits_of_streams_and_windows() {
    let running = serve_everything("hello-p2", Settings { max_streams: 33, window: 70_000, ..settings() }).await;
    let mut client = Frames::connect(running.address, &[]).await;
    let frame = client.next_of(SETTINGS).await;
    assert_eq!((frame.setting(MAX_STREAMS), frame.setting(INITIAL_WINDOW)), (Some(33), Some(70_000)));
    running.end().await;
}

#[tokio::test]
async fn a_long_answer_arrives_whole_over_http2() {
    let running = serve_everything("probe-http", settings()).await;
    for length in [1, 1024, 1025, 16_385, 60_000, 300_000] {
        let mut client = Frames::connect(running.address, &[(INITIAL_WINDOW, 1 << 20)]).await;
        client.send(crate::frames::WINDOW_UPDATE, 0, 0, &(1u32 << 20).to_be_bytes()).await;
        client.get(1, &format!("/?stream={length}")).await;
        assert_eq!(client.next_of(HEADERS).await.status(), 200);
        let mut came = 0;
        loop {
            let frame = client.next_of(DATA).await;
            came += frame.payload.len();
            if frame.flags & crate::frames::END_STREAM != 0 {
                break;
            }
        }
        assert_eq!(came, length);
    }
    running.end().await;
}
