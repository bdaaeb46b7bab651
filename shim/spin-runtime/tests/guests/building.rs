use spin_runtime::{Code, HttpOptions, MessageOptions};

use crate::fixture::{App, ID};

async fn refusal(app: App) -> (String, u8) {
    let error = app.build().await.err().expect("the app is refused");
    (error.to_string(), error.exit_code())
}

#[tokio::test]
async fn what_is_no_component_is_refused() {
    let (sentence, code) = refusal(App::of(Code::Wasm(b"#!/bin/sh".to_vec()))).await;
    assert_eq!(code, 65);
    assert!(sentence.contains(&format!("component {ID:?}")) && sentence.contains("not a WebAssembly file"), "{sentence}");
}

#[tokio::test]
async fn an_unknown_import_is_named() {
    let (sentence, code) = refusal(App::new("unknown-import")).await;
    assert_eq!(code, 65);
    assert!(sentence.contains("imports \"") && sentence.contains("does not provide"), "{sentence}");
}

#[tokio::test]
async fn a_missing_export_is_told_with_what_is_there() {
    let runtime = App::new("no-export").build().await.unwrap();
    let component = runtime.component(ID).unwrap();
    assert_eq!((component.http_export(), component.redis_export()), (None, None));
    let error = component.http_handler(HttpOptions::default()).err().unwrap();
    assert_eq!(error.exit_code(), 65);
    assert!(error.to_string().contains("wasi:http/incoming-handler@0.2"), "{error}");
}

#[tokio::test]
async fn a_handler_of_messages_does_not_answer_requests() {
    let runtime = App::new("redis-sink").variable("redis_address", Some("x")).build().await.unwrap();
    let component = runtime.component(ID).unwrap();
    let error = component.http_handler(HttpOptions::default()).err().unwrap().to_string();
    assert!(error.contains("exports fermyon:spin/inbound-redis"), "{error}");
    component.message_handler(MessageOptions::default()).unwrap();
}

#[tokio::test]
async fn a_missing_variable_is_named() {
    let (sentence, code) = refusal(App::new("hello-p2").variable("api_key", None)).await;
    assert_eq!(code, 66);
    assert!(sentence.contains("\"api_key\"") && sentence.contains("SPIN_VARIABLE_API_KEY"), "{sentence}");
}

#[tokio::test]
async fn a_store_nobody_configured_is_named() {
    let (sentence, code) = refusal(App::new("kv").grant("key_value_stores", &["orders"])).await;
    assert_eq!(code, 66);
    assert!(sentence.contains("\"orders\""), "{sentence}");
}

#[tokio::test]
async fn an_allowed_host_that_is_none_is_refused() {
    let (sentence, code) = refusal(App::new("hello-p2").allow("example.com")).await;
    assert_eq!(code, 64);
    assert!(sentence.contains("example.com"), "{sentence}");
}

#[tokio::test]
async fn a_component_without_code_is_refused() {
    let mut app = App::new("hello-p2");
    app.inputs.code.clear();
    assert_eq!(refusal(app).await, (format!("component {ID:?} has no code"), 65));
}

fn text(text: &str) -> App {
    App::of(Code::Wasm(wat::parse_str(text).unwrap()))
}

#[tokio::test]
async fn a_release_candidate_that_became_the_release_is_known() {
    let import = r#"(component (import "wasi:random/random@0.3.0-rc-2026-03-15" (instance
        (export "get-random-u64" (func (result u64))))))"#;
    text(import).build().await.unwrap();
}

#[tokio::test]
async fn what_sdks_import_always_is_refused_only_where_it_is_granted() {
    let import = r#"(component (import "spin:sqlite/sqlite@3.1.0" (instance
        (export "connection" (type (sub resource))))))"#;
    text(import).build().await.unwrap();
    let (sentence, code) = refusal(text(import).grant("databases", &["default"])).await;
    assert_eq!(code, 65);
    assert!(sentence.contains("spin:sqlite/sqlite@3.1.0"), "{sentence}");
}
