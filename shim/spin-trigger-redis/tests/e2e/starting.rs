use spin_trigger_redis::{Error, Settings};

use crate::fixture::{inputs, subscriber};
use crate::server::RedisServer;

async fn refusal(address: &str, guest: &str) -> Error {
    let redis = RedisServer::absent();
    let inputs = inputs(&redis, address, &[("sink", guest, "orders")]);
    subscriber(inputs, Settings::default()).await.err().expect("must be refused")
}

#[tokio::test]
async fn a_malformed_address_is_named_without_its_password() {
    let error = refusal("rediz://me:secret@host:1", "redis-sink").await;
    assert_eq!(error.exit_code(), 66);
    assert!(error.to_string().contains("'rediz://***@host:1' of Redis trigger 'trigger-sink'"), "{error}");
    assert!(!format!("{error} {error:?}").contains("secret"));
}

#[tokio::test]
async fn a_component_that_takes_no_messages_is_named() {
    let error = refusal("redis://localhost", "hello-p2").await;
    assert_eq!(error.exit_code(), 65);
    assert!(error.to_string().contains("sink"), "{error}");
}
