use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{get, read_head, read_to_end, request, send};
use crate::fixture::{serve_everything, settings};

#[tokio::test]
async fn http_2_works_without_tls() {
    let running = serve_everything("probe-http", settings()).await;
    let stream = TokioIo::new(TcpStream::connect(running.address).await.expect("the server accepts"));
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    let request = http::Request::post("http://test/x?y").body(Full::new(Bytes::from("body"))).expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    assert!(String::from_utf8_lossy(&body).contains(r#"["spin-full-url","http://test/x?y"]"#));
    running.end().await;
}

#[tokio::test]
async fn head_has_no_body() {
    let running = serve_everything("hello-p2", settings()).await;
    assert_eq!(request(running.address, "HEAD", "/", "", "").await.told(), (200, ""));
    running.end().await;
}

#[tokio::test]
async fn a_connection_serves_many_requests_also_when_they_come_at_once() {
    let running = serve_everything("hello-p2", settings()).await;
    let next = "GET / HTTP/1.1\r\nhost: test\r\n\r\n".repeat(3);
    let last = "GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
    let answers = send(running.address, &(next + last)).await;
    assert_eq!(answers.raw.matches("HTTP/1.1 200").count(), 4, "{answers:?}");
    running.end().await;
}

#[tokio::test]
async fn a_client_that_waits_for_permission_gets_it() {
    let running = serve_everything("probe-http", settings()).await;
    let mut stream = TcpStream::connect(running.address).await.expect("the server accepts");
    let head = "POST / HTTP/1.1\r\nhost: test\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("the server reads");
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 100"));
    stream.write_all(b"body").await.expect("the server reads");
    assert!(read_to_end(stream).await.body.contains(r#""body":"body""#));
    running.end().await;
}

#[tokio::test]
async fn a_body_in_chunks_arrives_whole() {
    let running = serve_everything("probe-http", settings()).await;
    let text =
        "POST / HTTP/1.1\r\nhost: t\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert!(send(running.address, text).await.body.contains(r#""body":"abcde""#));
    running.end().await;
}

#[tokio::test]
async fn a_long_answer_streams_to_its_end() {
    let running = serve_everything("probe-http", settings()).await;
    let answer = get(running.address, "/?stream=9000000").await;
    assert_eq!((answer.status, answer.body.len()), (200, 9_000_000));
    running.end().await;
}

#[tokio::test]
async fn hosts_that_contradict_each_other_are_refused() {
    let running = serve_everything("hello-p2", settings()).await;
    let close = "connection: close\r\n\r\n";
    assert_eq!(send(running.address, &format!("GET http://a/ HTTP/1.1\r\nhost: b\r\n{close}")).await.told(), (400, ""));
    assert_eq!(send(running.address, &format!("GET / HTTP/1.1\r\n{close}")).await.told(), (400, ""));
    assert_eq!(send(running.address, &format!("GET http://a/ HTTP/1.1\r\nhost: a\r\n{close}")).await.told(), (200, "hello"));
    running.end().await;
}

#[tokio::test]
async fn nonsense_is_answered_or_dropped_and_harms_nobody() {
    let running = serve_everything("hello-p2", settings()).await;
    for nonsense in [
        "\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n",
        "OPTIONS * HTTP/1.0\r\n\r\n",
        "\0\u{1}\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(running.address).await.expect("the server accepts");
        stream.write_all(nonsense.as_bytes()).await.expect("the server reads");
        stream.shutdown().await.expect("half of a close");
        assert!(read_to_end(stream).await.status != 200, "{nonsense:?}");
    }
    assert_eq!(get(running.address, "/").await.told(), (200, "hello"));
    running.end().await;
}
