//! Ways out over HTTP and raw TCP.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use spin_runtime::http::{BodyError, WasiBody};
use spin_runtime::{InternalHandler, InternalTarget};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::fixture::App;

const GUESTS: [&str; 2] = ["outbound", "outbound-p3"];

/// A server that answers every HTTP request with its first line, and that for `/host` with the host that it names.
pub async fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    let head = String::from_utf8_lossy(&buffer[..length]);
                    let host = head.lines().find_map(|line| line.strip_prefix("host: "));
                    let first = head.lines().next().unwrap();
                    let text = host.filter(|_| first.starts_with("GET /host ")).unwrap_or(first);
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn an_allowed_host_is_asked() {
    let address = server().await;
    for guest in GUESTS {
        let http = App::new(guest).allow(&format!("http://{address}")).http().await;
        for _ in 0..3 {
            let answer = http.ask("POST", &format!("/fetch?http://{address}/path"), "").await;
            assert_eq!((answer.status, answer.text().as_str()), (200, "GET /path HTTP/1.1"), "{guest}");
        }
    }
}

#[tokio::test]
async fn a_host_that_is_not_allowed_is_not_asked() {
    let address = server().await;
    for guest in GUESTS {
        let http = App::new(guest).allow("http://127.0.0.1:1").http().await;
        assert_eq!(http.ask("POST", &format!("/fetch?http://{address}/"), "").await.status, 502, "{guest}");
    }
}

#[tokio::test]
async fn the_host_in_the_head_is_the_one_that_is_asked() {
    let address = server().await;
    let http = App::new("outbound").allow(&format!("http://{address}")).http().await;
    let answer = http.ask("POST", &format!("/fetch-as-other?http://{address}/host"), "").await;
    assert_eq!((answer.status, answer.text()), (200, address));
}

#[tokio::test]
async fn a_host_that_is_away_is_an_error() {
    for guest in GUESTS {
        let http = App::new(guest).allow("http://*:*").http().await;
        for url in ["http://127.0.0.1:1/", "http://no.such.host.invalid/"] {
            assert_eq!(http.ask("POST", &format!("/fetch?{url}"), "").await.status, 502, "{guest} {url}");
        }
    }
}

#[tokio::test]
async fn raw_sockets_reach_allowed_addresses_alone() {
    let address = server().await;
    for guest in GUESTS {
        let path = format!("/tcp?{address}");
        let http = App::new(guest).allow(&format!("*://{address}")).http().await;
        let answer = http.ask("POST", &path, "hello").await;
        assert!(answer.text().ends_with("hello"), "{guest}: {answer:?}");
        let http = App::new(guest).allow("*://127.0.0.1:1").http().await;
        assert_eq!(http.ask("POST", &path, "hello").await.status, 502, "{guest}");
    }
}

struct Inside;

impl InternalHandler for Inside {
    fn handle(&self, target: InternalTarget<'_>, request: ::http::Request<WasiBody>) -> spin_runtime::InternalAnswer {
        let text = format!("{target:?} {}", request.uri().path());
        let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync();
        Box::pin(async move { Ok::<_, BodyError>(::http::Response::new(body)) })
    }
}

#[tokio::test]
async fn requests_within_the_app_stay_within_it() {
    for guest in GUESTS {
        let hosts = ["http://kitchen.spin.internal", "http://self"];
        let http = App::new(guest).grant("allowed_outbound_hosts", &hosts).http().await;
        http.runtime.set_internal(Arc::new(Inside));
        let ask = |url: &str| format!("/fetch?http://{url}");
        let answer = http.ask("POST", &ask("kitchen.spin.internal/cook"), "").await;
        assert_eq!(answer.text(), "Component(\"kitchen\") /cook", "{guest}");
        assert_eq!(http.ask("POST", &ask("self/menu"), "").await.text(), "SelfApp /menu", "{guest}");
        assert_eq!(http.ask("POST", &ask("bar.spin.internal/"), "").await.status, 502, "{guest}");
    }
}
