use std::time::{Duration, Instant};

use harness::wait::until;
use spin_trigger_redis::Settings;

use crate::fixture::{PATIENCE, inputs, listen, run};
use crate::server::RedisServer;

fn numbered(count: usize) -> Vec<String> {
    let mut messages: Vec<String> = (0..count).map(|index| format!("message {index}")).collect();
    messages.sort();
    messages
}

#[tokio::test]
async fn every_message_reaches_a_component_of_either_interface() {
    let redis = RedisServer::start().await;
    for guest in ["redis-sink", "redis-sink-p3"] {
        let running = listen(&redis, guest, Settings::default()).await;
        redis.publish("orders", &numbered(50)).await;
        redis.list_grows_to("sink", 50).await;
        assert_eq!(redis.list("sink").await, numbered(50), "{guest}");
        redis.ask::<u32>(&["DEL", "sink"]).await;
        running.end().await;
    }
}

#[tokio::test]
async fn every_component_of_a_channel_gets_every_message() {
    let redis = RedisServer::start().await;
    let listeners = [("first", "redis-sink", "orders"), ("second", "redis-sink-p3", "orders"), ("other", "redis-sink", "others")];
    let running = run(inputs(&redis, &redis.address(), &listeners), Settings::default(), PATIENCE).await;
    redis.listened_to("orders").await;
    redis.publish("orders", &numbered(5)).await;
    for list in ["first", "second"] {
        redis.list_grows_to(list, 5).await;
        assert_eq!(redis.list(list).await, numbered(5), "{list}");
    }
    assert!(redis.list("other").await.is_empty());
    running.end().await;
}

#[tokio::test]
async fn many_messages_are_in_work_at_once() {
    let redis = RedisServer::start().await;
    for guest in ["redis-sink", "redis-sink-p3"] {
        let running = listen(&redis, guest, Settings::default()).await;
        let begun = Instant::now();
        redis.publish("orders", &vec!["sleep:1000".to_owned(); 60]).await;
        redis.list_grows_to("sink", 60).await;
        assert!(begun.elapsed() < Duration::from_secs(30), "one after the other would take a minute");
        redis.ask::<u32>(&["DEL", "sink"]).await;
        running.end().await;
    }
}

#[tokio::test]
async fn a_message_that_fails_harms_no_other() {
    let redis = RedisServer::start().await;
    for guest in ["redis-sink", "redis-sink-p3"] {
        let running = listen(&redis, guest, Settings::default()).await;
        redis.publish("orders", &["fail", "trap", "sleep:x", "fine"].map(str::to_owned)).await;
        redis.list_grows_to("sink", 1).await;
        assert_eq!(redis.list("sink").await, ["fine"], "{guest}");
        redis.ask::<u32>(&["DEL", "sink"]).await;
        running.end().await;
    }
}

#[tokio::test]
async fn a_message_that_takes_too_long_is_ended() {
    let redis = RedisServer::start().await;
    let settings = Settings { message_timeout: Some(Duration::from_secs(2)), max_in_work: 1, ..Settings::default() };
    let running = listen(&redis, "redis-sink", settings).await;
    redis.publish("orders", &["sleep:600000", "fine"].map(str::to_owned)).await;
    redis.list_grows_to("sink", 1).await;
    assert_eq!(redis.list("sink").await, ["fine"]);
    running.end().await;
}

#[tokio::test]
async fn what_finds_no_place_waits_and_is_not_lost() {
    let redis = RedisServer::start().await;
    let running = listen(&redis, "redis-sink", Settings { max_in_work: 2, ..Settings::default() }).await;
    redis.publish("orders", &numbered(3000)).await;
    redis.list_grows_to("sink", 3000).await;
    assert_eq!(redis.list("sink").await, numbered(3000));
    running.end().await;
}

#[tokio::test]
async fn address_and_channel_may_be_variables() {
    let redis = RedisServer::start().await;
    let inputs = inputs(&redis, "{{ address }}", &[("sink", "redis-sink", "{{ channel }}")]);
    let running = run(inputs, Settings::default(), PATIENCE).await;
    redis.listened_to("from-a-variable").await;
    redis.publish("from-a-variable", &numbered(1)).await;
    redis.list_grows_to("sink", 1).await;
    running.end().await;
}

#[tokio::test]
async fn a_server_with_a_certificate_of_a_private_authority_is_trusted_by_ssl_cert_file() {
    let (plain, redis) = (RedisServer::start().await, harness::Redis::start_tls());
    let mut inputs = inputs(&plain, &redis.address(), &[("sink", "redis-sink", "orders")]);
    inputs.env.push(("SSL_CERT_FILE".to_owned(), redis.authority().to_str().expect("a path of text").to_owned()));
    let running = run(inputs, Settings::default(), PATIENCE).await;
    let listened = async || redis.cli(&["pubsub", "numsub", "orders"]) == "orders\n1";
    until("somebody listens", PATIENCE, listened).await;
    redis.cli(&["publish", "orders", "message"]);
    plain.list_grows_to("sink", 1).await;
    assert_eq!(plain.list("sink").await, ["message"]);
    running.end().await;
}

#[tokio::test]
async fn a_message_that_is_too_long_is_lost_and_others_are_not() {
    let redis = RedisServer::start().await;
    let running = listen(&redis, "redis-sink", Settings { max_message_bytes: 1 << 20, ..Settings::default() }).await;
    redis.publish("orders", &["x".repeat(900_000), "x".repeat(2 << 20)]).await;
    let arrived = async || {
        redis.publish("orders", &["fine".to_owned()]).await;
        let lengths: Vec<usize> = redis.list("sink").await.iter().map(String::len).collect();
        lengths.contains(&"fine".len()) && lengths.contains(&900_000)
    };
    until("messages before and after the long one", PATIENCE, arrived).await;
    assert!(redis.list("sink").await.iter().all(|message| message.len() < 1 << 20));
    running.end().await;
}
