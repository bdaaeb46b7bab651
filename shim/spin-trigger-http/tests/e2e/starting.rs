use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::json;
use spin_trigger_http::{Listen, Settings};

use crate::client::get;
use crate::fixture::{bind, inputs, serve_everything, settings};

#[tokio::test]
async fn a_taken_port_is_told_with_its_address_before_anything_runs() {
    let running = serve_everything("hello-p2", settings()).await;
    let inputs = inputs(&["hello-p2"], json!([{"route": "/", "component": "hello-p2"}]));
    let error =
        bind(inputs, Settings { listen: Listen::At(running.address), ..settings() }).await.err().expect("must be refused");
    assert_eq!(error.exit_code(), 67);
    assert_eq!(error.to_string(), format!("cannot listen on {}: the port is already in use", running.address));
    running.end().await;
}

#[tokio::test]
async fn a_component_that_cannot_answer_is_named() {
    let inputs = inputs(&["redis-sink"], json!([{"route": "/", "component": "redis-sink"}]));
    let error = bind(inputs, settings()).await.err().expect("must be refused");
    assert_eq!(error.exit_code(), 65);
    assert!(error.to_string().contains("redis-sink"), "{error}");
}

#[tokio::test]
async fn a_malformed_route_is_named_with_its_trigger() {
    let inputs = inputs(&["hello-p2"], json!([{"route": "/a/.../b", "component": "hello-p2"}]));
    let error = bind(inputs, settings()).await.err().expect("must be refused");
    assert_eq!(error.exit_code(), 64);
    assert!(error.to_string().contains("/a/.../b") && error.to_string().contains("trigger-0"), "{error}");
}

#[tokio::test]
async fn clients_of_both_address_families_are_answered_and_shown_as_they_are() {
    let running = serve_everything("probe-http", Settings { listen: Listen::Everywhere(0), ..settings() }).await;
    let port = running.address.port();
    for (ip, shown) in [(Ipv4Addr::LOCALHOST.into(), "127.0.0.1:"), (Ipv6Addr::LOCALHOST.into(), "[::1]:")] {
        let body = get(SocketAddr::new(ip, port), "/").await.body;
        assert!(body.contains(&format!(r#"["spin-client-addr","{shown}"#)), "{body}");
    }
    running.end().await;
}

#[tokio::test]
async fn the_servers_address_and_routes_are_announced_a_line_each() {
    let triggers = json!([
        {"route": "/...", "component": "hello-p2"},
        {"route": "/menu", "component": "probe-http"},
        {"route": "/pot/:id/...", "static_response": {"status_code": 418}},
        {"route": {"private": true}, "component": "probe-http"},
    ]);
    let server = bind(inputs(&["hello-p2", "probe-http"], triggers), settings()).await.expect("bound");
    let base = format!("http://{}", server.local_addr());
    let expected = [
        format!("Serving {base}"),
        "Available Routes:".to_owned(),
        format!("  hello-p2: {base} (wildcard)"),
        format!("  probe-http: {base}/menu"),
        format!("  static response: {base}/pot/:id (wildcard)"),
    ];
    assert_eq!(server.announcement(), expected);
}
