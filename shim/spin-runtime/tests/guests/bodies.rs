//! Bodies of outbound requests.

use harness::wait::patience;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::fixture::App;

/// The whole of a request that a guest sends for `path`, whose query is the server's URL.
async fn sent(guest: &str, path: &str, body: &str, end: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let http = App::new(guest).allow(&format!("http://{address}")).http().await;
    let path = format!("{path}?http://{address}/");
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(end.as_bytes()) {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "the request is whole");
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        String::from_utf8(request).unwrap()
    };
    let both = async { tokio::join!(http.ask("POST", &path, body), server) };
    let (answer, request) = timeout(patience(20), both).await.expect("the request is sent");
    assert_eq!(answer.status, 200, "{answer:?}");
    request
}

#[tokio::test]
async fn a_short_body_is_sent_with_its_length() {
    for guest in ["outbound", "outbound-p3"] {
        let body = "x".repeat(60_000) + "end";
        for body in ["end", &body] {
            // On a busy machine a guest's turn may end in the midst of its work, and what it has sent by then streams.
            let mut with_length = 0;
            for _ in 0..20 {
                let request = sent(guest, "/post", body, "end").await;
                let has_length = request.contains(&format!("content-length: {}\r\n", body.len()));
                assert_ne!(has_length, request.contains("transfer-encoding"), "{guest}: {request}");
                with_length += u32::from(has_length);
            }
            assert!(with_length > 0, "{guest}: {}", body.len());
        }
    }
}

#[tokio::test]
async fn a_long_body_is_sent_in_chunks() {
    for guest in ["outbound", "outbound-p3"] {
        let body = "x".repeat(2_000_000);
        let request = sent(guest, "/post", &body, "\r\n0\r\n\r\n").await;
        assert!(request.contains("transfer-encoding: chunked\r\n"), "{guest}: {}", &request[..500]);
        assert_eq!(request.matches('x').count(), body.len(), "{guest}");
    }
}

#[tokio::test]
async fn a_length_that_the_guest_gives_is_sent() {
    let request = sent("outbound", "/post-with-length", "end", "end").await;
    assert_eq!(request.matches("content-length: 3\r\n").count(), 1, "{request}");
    assert!(!request.contains("transfer-encoding"), "{request}");
}

#[tokio::test]
async fn a_request_without_a_body_has_neither_length_nor_chunks() {
    for guest in ["outbound", "outbound-p3"] {
        let request = sent(guest, "/fetch", "", "\r\n\r\n").await;
        assert!(request.starts_with("GET / ") && !request.contains("content-length"), "{guest}: {request}");
        assert!(!request.contains("transfer-encoding"), "{guest}: {request}");
    }
}
