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

/// Status and body of the answer to this request line and these lines of a head.
async fn answered(address: std::net::SocketAddr, line: &str, lines: &str) -> (u16, String) {
    let answer = send(address, &format!("{line}\r\n{lines}connection: close\r\n\r\n")).await;
    (answer.status, answer.body)
}

#[tokio::test]
async fn a_request_that_need_not_name_its_host_is_answered() {
    let running = serve_everything("probe-http", settings()).await;
    for (line, lines) in [("GET / HTTP/1.0", ""), ("GET / HTTP/1.1", "host:\r\n"), ("GET http://a/ HTTP/1.1", "host:\r\n")] {
        let (status, body) = answered(running.address, line, lines).await;
        let address = if line.contains("http:") { "a".to_owned() } else { running.address.to_string() };
        assert_eq!(status, 200, "{line} {lines}");
        assert!(body.contains(&format!(r#"["spin-full-url","http://{address}/"]"#)), "{body}");
    }
    running.end().await;
}

#[tokio::test]
async fn hosts_that_are_missing_doubled_contradicted_or_malformed_are_refused_in_words() {
    let running = serve_everything("hello-p2", settings()).await;
    let refused = [
        ("GET / HTTP/1.1", "", "no Host header\n"),
        ("GET / HTTP/1.1", "host: a\r\nhost: b\r\n", "more than one Host header\n"),
        ("GET / HTTP/1.0", "host: a\r\nhost: b\r\n", "more than one Host header\n"),
        ("GET http://a/ HTTP/1.1", "host: b\r\n", "the request line and the Host header name different hosts\n"),
        ("GET / HTTP/1.1", "host: u:p@a\r\n", "the host is malformed: it must have no user name or password\n"),
        (
            "GET / HTTP/1.1",
            "host: a:99999\r\n",
            "the host is malformed: it must be a name or an address, and a port of at most 65535 where there is one\n",
        ),
    ];
    for (line, lines, sentence) in refused {
        assert_eq!(answered(running.address, line, lines).await, (400, sentence.to_owned()));
    }
    assert_eq!(answered(running.address, "GET http://a/ HTTP/1.1", "host: a\r\n").await, (200, "hello".to_owned()));
    assert_eq!(answered(running.address, "GET /.well-known/spin/health HTTP/1.1", "").await, (200, "OK".to_owned()));
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
