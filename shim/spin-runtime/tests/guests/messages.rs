use std::time::Duration;

use futures::future::join_all;
use harness::Redis;
use spin_runtime::MessageError;

use crate::fixture::App;

const GUESTS: [&str; 2] = ["redis-sink", "redis-sink-p3"];

fn app(guest: &str, redis: &Redis) -> App {
    App::new(guest).allow(&redis.address()).variable("redis_address", Some(&redis.address())).variable("list", Some("list"))
}

#[tokio::test]
async fn a_message_is_handled() {
    let redis = Redis::start();
    for guest in GUESTS {
        app(guest, &redis).messages(None).await.handle(b"message".to_vec()).await.unwrap();
        assert_eq!(redis.cli(&["lpop", "list"]), "message", "{guest}");
    }
}

#[tokio::test]
async fn several_are_handled_at_once() {
    let redis = Redis::start();
    for guest in GUESTS {
        let handler = app(guest, &redis).messages(Some(Duration::from_secs(5))).await;
        let results = join_all((0..20).map(|_| handler.handle(b"sleep:1000".to_vec()))).await;
        assert!(results.iter().all(Result::is_ok), "{guest}: {results:?}");
    }
    assert_eq!(redis.cli(&["llen", "list"]), "40");
}

#[tokio::test]
async fn a_guests_error_a_trap_and_a_timeout_are_told_apart() {
    let redis = Redis::start();
    for guest in GUESTS {
        let handler = app(guest, &redis).messages(Some(Duration::from_secs(1))).await;
        assert!(matches!(handler.handle(b"fail".to_vec()).await, Err(MessageError::Guest(_))), "{guest}");
        assert_eq!(handler.handle(b"trap".to_vec()).await, Err(MessageError::Failed), "{guest}");
        assert_eq!(handler.handle(b"sleep:9000".to_vec()).await, Err(MessageError::TimedOut), "{guest}");
        handler.handle(b"message".to_vec()).await.unwrap();
    }
}
