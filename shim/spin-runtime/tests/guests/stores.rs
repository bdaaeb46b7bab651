use harness::Redis;

use crate::fixture::{App, Http};

const GUESTS: [&str; 2] = ["kv", "kv-p3"];

async fn exercise(http: &Http, label: &str) {
    assert_eq!(http.get(&format!("/key?{label}")).await.status, 404);
    assert!(http.ask("PUT", &format!("/key?{label}"), "value").await.status < 300);
    assert_eq!(http.get(&format!("/key?{label}")).await.text(), "value");
    assert_eq!(http.ask("HEAD", &format!("/key?{label}"), "").await.status, 200);
    assert!(http.get(&format!("/?{label}")).await.text().contains("key"));
    assert!(http.ask("DELETE", &format!("/key?{label}"), "").await.status < 300);
    assert_eq!(http.get(&format!("/key?{label}")).await.status, 404);
}

#[tokio::test]
async fn the_default_store_keeps_values() {
    for guest in GUESTS {
        exercise(&App::new(guest).grant("key_value_stores", &["default"]).http().await, "default").await;
    }
}

#[tokio::test]
async fn a_store_in_the_state_directory_outlives_the_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let app = || {
        let mut app = App::new("kv").grant("key_value_stores", &["default"]);
        app.inputs.state_dir = Some(dir.path().to_owned());
        app
    };
    app().http().await.ask("PUT", "/key", "value").await;
    assert_eq!(app().http().await.get("/key").await.text(), "value");
}

#[tokio::test]
async fn a_store_in_redis_keeps_values() {
    let redis = Redis::start();
    let config = format!("[key_value_store.orders]\ntype = \"redis\"\nurl = {:?}", redis.address());
    for guest in GUESTS {
        exercise(&App::new(guest).grant("key_value_stores", &["orders"]).config(&config).http().await, "orders").await;
    }
}

/// An app whose store `orders` is in that server.
async fn in_redis(redis: &Redis) -> Http {
    let config = format!("[key_value_store.orders]\ntype = \"redis\"\nurl = {:?}", redis.address());
    App::new("kv").grant("key_value_stores", &["orders"]).config(&config).http().await
}

#[tokio::test]
async fn a_value_in_redis_that_is_too_long_is_an_error_and_harms_no_other() {
    let redis = Redis::start();
    redis.cli(&["setrange", "long", &(128 << 20).to_string(), "x"]);
    redis.cli(&["set", "empty", ""]);
    let http = in_redis(&redis).await;
    let answer = http.get("/long?orders").await;
    assert!(answer.status == 500 && answer.text().contains("more than 128 MiB at once"), "{answer:?}");
    let answer = http.get("/empty?orders").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    assert_eq!(http.get("/missing?orders").await.status, 404);
}

#[tokio::test]
async fn all_keys_in_redis_are_listed_once() {
    let redis = Redis::start();
    redis.cli(&["eval", "for i = 1, 5000 do redis.call('set', 'key-' .. i, '') end", "0"]);
    let list = in_redis(&redis).await.get("/?orders").await.text();
    let mut keys: Vec<usize> = list.split("key-").skip(1).map(|key| digits(key).parse().unwrap()).collect();
    keys.sort_unstable();
    assert!(keys.into_iter().eq(1..=5000), "{list}");
}

fn digits(text: &str) -> &str {
    &text[..text.bytes().take_while(u8::is_ascii_digit).count()]
}

#[tokio::test]
async fn more_keys_in_redis_than_may_be_listed_are_an_error() {
    let redis = Redis::start();
    redis.cli(&["eval", "for i = 1, 1400 do redis.call('set', ('k'):rep(100000) .. i, '') end", "0"]);
    let answer = in_redis(&redis).await.get("/?orders").await;
    assert!(answer.status == 500 && answer.text().contains("more than 128 MiB at once"), "{}", answer.status);
}

#[tokio::test]
async fn a_store_that_is_not_listed_is_denied() {
    for guest in GUESTS {
        let answer = App::new(guest).http().await.get("/key").await;
        assert_eq!(answer.status, 500, "{guest}");
        assert!(answer.text().contains("AccessDenied"), "{guest}: {answer:?}");
    }
}
