use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::client::{get, request};
use crate::fixture::{serve, serve_everything, settings};

#[tokio::test]
async fn components_of_wasi_0_2_and_0_3_answer_in_one_app() {
    let triggers = json!([{"route": "/two", "component": "hello-p2"}, {"route": "/three", "component": "hello-p3"}]);
    let running = serve(&["hello-p2", "hello-p3"], triggers).await;
    assert_eq!(get(running.address, "/two").await.told(), (200, "hello"));
    assert_eq!(get(running.address, "/three").await.told(), (200, "hello"));
    running.end().await;
}

/// Whether an answer comes under its length instead of in chunks. One of several has to: on a busy machine a
/// guest's turn may end in the midst of its work, and what it has sent by then streams.
async fn comes_under_its_length(address: SocketAddr, path: &str) -> bool {
    for _ in 0..20 {
        let answer = get(address, path).await;
        assert_eq!(answer.status, 200, "{}", answer.head);
        let has_length = answer.head.contains(&format!("content-length: {}", answer.body.len()));
        assert_ne!(has_length, answer.head.contains("chunked"), "{}", answer.head);
        if has_length {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn a_short_answer_comes_under_its_length_and_a_long_one_in_pieces() {
    for guest in ["probe-http", "probe-p3"] {
        let running = serve_everything(guest, settings()).await;
        // The guest waits in the last one, and answers in a later turn.
        for (path, is_short) in [("/?stream=0", true), ("/?stream=5", true), ("/?stream=1000000", false), ("/?sleep=20", true)] {
            assert_eq!(comes_under_its_length(running.address, path).await, is_short, "{guest}: {path}");
        }
        let long = get(running.address, "/?stream=1000000").await;
        assert_eq!(long.body.len(), 1_000_000, "{guest}");
        let head = request(running.address, "HEAD", "/?stream=5", "", "").await;
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{guest}");
        assert!(!head.head.contains("content-length: 0"), "{guest}: {}", head.head);
        running.end().await;
    }
}

/// What the probe was given for this request, its headers sorted.
async fn seen(route: &str, path: &str, headers: &str, body: &str) -> (Value, Vec<(String, String)>) {
    let running = serve(&["probe-http"], json!([{"route": route, "component": "probe-http"}])).await;
    let answer = request(running.address, "POST", path, headers, body).await;
    running.end().await;
    let seen: Value = serde_json::from_str(&answer.body).expect("the probe answers JSON");
    let mut headers: Vec<(String, String)> = serde_json::from_value(seen["headers"].clone()).expect("pairs of text");
    headers.sort();
    (seen, headers)
}

#[tokio::test]
async fn the_guest_sees_the_request_as_it_was_sent() {
    let (seen, headers) = seen("/...", "/path?key=value", "accept: */*\r\n", "content").await;
    assert_eq!([&seen["method"], &seen["body"]], ["POST", "content"]);
    let sent = headers.iter().filter(|(name, _)| !name.starts_with("spin-"));
    let sent: Vec<_> = sent.map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(sent, [("accept", "*/*"), ("content-length", "7"), ("host", "test")]);
}

#[tokio::test]
async fn the_guest_is_told_its_route_and_nobody_else_can_tell_it() {
    let forged = "spin-path-match-admin: yes\r\nspin-client-addr: 9.9.9.9:9\r\nspin-path-info: /etc\r\n";
    let (_, headers) = seen("/base/:path_segment/...", "/base/path/rest?key=value", forged, "").await;
    let told = headers.iter().filter(|(name, _)| name.starts_with("spin-") && name != "spin-client-addr");
    let told: Vec<_> = told.map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(told, TOLD);
    let client: Vec<_> = headers.iter().filter(|(name, _)| name == "spin-client-addr").collect();
    assert!(client.len() == 1 && client[0].1.starts_with("127.0.0.1:"), "{client:?}");
}

const TOLD: [(&str, &str); 7] = [
    ("spin-base-path", "/"),
    ("spin-component-route", "/base/:path_segment"),
    ("spin-full-url", "http://test/base/path/rest?key=value"),
    ("spin-matched-route", "/base/:path_segment/..."),
    ("spin-path-info", "/rest"),
    ("spin-path-match-path-segment", "path"),
    ("spin-raw-component-route", "/base/:path_segment/..."),
];

#[tokio::test]
async fn a_guest_that_traps_or_exits_is_an_empty_500_and_nothing_else() {
    let running = serve_everything("probe-http", settings()).await;
    assert_eq!(get(running.address, "/?trap").await.told(), (500, ""));
    assert_eq!(get(running.address, "/?exit").await.told(), (500, ""));
    assert_eq!(get(running.address, "/?stdout=fine").await.told(), (200, ""));
    running.end().await;
}

#[tokio::test]
async fn a_path_without_a_route_is_an_empty_404() {
    let running = serve(&["hello-p2"], json!([{"route": "/hello", "component": "hello-p2"}])).await;
    assert_eq!(get(running.address, "/hello").await.status, 200);
    assert_eq!(get(running.address, "/hello/you").await.told(), (404, ""));
    running.end().await;
}

#[tokio::test]
async fn the_hosts_own_paths_are_answered_whatever_the_routes() {
    let running = serve_everything("hello-p2", settings()).await;
    assert_eq!(get(running.address, "/.well-known/spin/health").await.told(), (200, "OK"));
    let info = get(running.address, "/.well-known/spin/info").await;
    assert!(info.head.contains("content-type: application/json"));
    assert_eq!(serde_json::from_str::<Value>(&info.body).expect("JSON"), json!({"name": "tested", "version": "1.2.3"}));
    assert_eq!(get(running.address, "/.well-known/spin/other").await.told(), (404, ""));
    assert_eq!(get(running.address, "/.well-known/other").await.status, 200);
    running.end().await;
}

#[tokio::test]
async fn a_static_response_needs_no_component() {
    let fixed = json!({"status_code": 418, "headers": {"x-kind": "fixed"}, "body": "short and stout"});
    let running = serve(&[], json!([{"route": "/pot", "static_response": fixed}])).await;
    let answer = get(running.address, "/pot").await;
    assert_eq!(answer.told(), (418, "short and stout"));
    assert!(answer.head.contains("x-kind: fixed"));
    running.end().await;
}

#[tokio::test]
async fn a_private_component_has_no_path() {
    let running = serve(&["hello-p2"], json!([{"route": {"private": true}, "component": "hello-p2"}])).await;
    assert_eq!(get(running.address, "/").await.told(), (404, ""));
    running.end().await;
}

#[tokio::test]
async fn several_workers_answer_like_one() {
    let running = serve_everything("hello-p3", spin_trigger_http::Settings { workers: 2, ..settings() }).await;
    let answers = futures::future::join_all((0..40).map(|_| get(running.address, "/"))).await;
    assert!(answers.iter().all(|answer| answer.told() == (200, "hello")));
    assert_eq!(running.end().await.abandoned, 0);
}
