use serde_json::json;
use spin_trigger_http::Settings;

use crate::fixture::{bind, inputs, serve_everything, settings};

#[tokio::test]
async fn a_taken_port_is_told_with_its_address_before_anything_runs() {
    let running = serve_everything("hello-p2", settings()).await;
    let inputs = inputs(&["hello-p2"], json!([{"route": "/", "component": "hello-p2"}]));
    let error = bind(inputs, Settings { listen: running.address, ..settings() }).await.err().expect("must be refused");
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
