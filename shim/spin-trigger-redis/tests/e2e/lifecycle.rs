use std::time::Duration;

use harness::wait::until;
use spin_trigger_redis::{Drained, Settings};

use crate::fixture::{PATIENCE, inputs, listen, run};
use crate::server::RedisServer;

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_waited_for() {
    let mut redis = RedisServer::absent();
    let inputs = inputs(&redis, &redis.address(), &[("sink", "redis-sink", "orders")]);
    let running = run(inputs, Settings::default(), PATIENCE).await;
    redis.resume().await;
    redis.listened_to("orders").await;
    redis.publish("orders", &["late".to_owned()]).await;
    redis.list_grows_to("sink", 1).await;
    running.end().await;
}

#[tokio::test]
async fn a_server_that_went_away_is_found_again() {
    let mut redis = RedisServer::start().await;
    let running = listen(&redis, "redis-sink", Settings::default()).await;
    for round in 1..=3 {
        redis.stop();
        redis.resume().await;
        redis.listened_to("orders").await;
        // The guest's own connection went away too, and its first command may be what finds out.
        let arrived = async || {
            redis.publish("orders", &[format!("round {round}")]).await;
            !redis.list("sink").await.is_empty()
        };
        until("a message of this round arrives", PATIENCE, arrived).await;
        assert_eq!(redis.list("sink").await[0], format!("round {round}"));
    }
    running.end().await;
}

#[tokio::test]
async fn a_server_that_falls_silent_is_noticed() {
    let redis = RedisServer::start().await;
    let settings = Settings { probe_interval: Duration::from_millis(200), ..Settings::default() };
    let running = listen(&redis, "redis-sink", settings).await;
    let first = subscriber_id(&redis).await;
    redis.ask::<String>(&["CLIENT", "PAUSE", "1500", "ALL"]).await;
    // The pause is for this test's own commands too.
    let another = async || subscriber_id(&redis).await.is_some_and(|id| Some(id) != first);
    until("another connection has taken over", PATIENCE, another).await;
    running.end().await;
}

/// Which connection is subscribed; none also where Redis does not answer in time.
async fn subscriber_id(redis: &RedisServer) -> Option<String> {
    let clients: String = redis.try_ask(&["CLIENT", "LIST", "TYPE", "pubsub"]).await?;
    clients.split(' ').next().map(str::to_owned).filter(|id| !id.is_empty())
}

#[tokio::test]
async fn silence_alone_is_no_loss() {
    let redis = RedisServer::start().await;
    let settings = Settings { probe_interval: Duration::from_millis(20), ..Settings::default() };
    let running = listen(&redis, "redis-sink", settings).await;
    let first = subscriber_id(&redis).await;
    until("the server was asked several times", PATIENCE, async || pings(&redis).await >= 3).await;
    assert_eq!(subscriber_id(&redis).await, first);
    running.end().await;
}

/// How often the server was asked whether it is there.
async fn pings(redis: &RedisServer) -> u32 {
    let statistics: String = redis.ask(&["INFO", "commandstats"]).await;
    let calls = statistics.split("cmdstat_ping:calls=").nth(1).and_then(|rest| rest.split(',').next()?.parse().ok());
    calls.unwrap_or(0)
}

#[tokio::test]
async fn what_is_in_work_is_finished() {
    let redis = RedisServer::start().await;
    let running = listen(&redis, "redis-sink", Settings::default()).await;
    redis.publish("orders", &["sleep:700".to_owned(), "quick".to_owned()]).await;
    redis.list_grows_to("sink", 1).await;
    assert_eq!(running.end().await, Drained { abandoned: 0 });
    assert_eq!(redis.list("sink").await, ["quick", "sleep:700"]);
    assert_eq!(redis.ask::<(String, u32)>(&["PUBSUB", "NUMSUB", "orders"]).await.1, 0);
}

#[tokio::test]
async fn the_grace_period_is_the_longest_wait() {
    let redis = RedisServer::start().await;
    let inputs = inputs(&redis, &redis.address(), &[("sink", "redis-sink", "orders")]);
    let running = run(inputs, Settings::default(), Duration::from_millis(300)).await;
    redis.listened_to("orders").await;
    redis.publish("orders", &["sleep:60000".to_owned(), "quick".to_owned()]).await;
    redis.list_grows_to("sink", 1).await;
    assert_eq!(running.end().await, Drained { abandoned: 1 });
}

#[tokio::test]
async fn a_subscriber_without_a_server_drains_at_once() {
    let redis = RedisServer::absent();
    let inputs = inputs(&redis, &redis.address(), &[("sink", "redis-sink", "orders")]);
    let running = run(inputs, Settings::default(), PATIENCE).await;
    let begun = std::time::Instant::now();
    assert_eq!(running.end().await, Drained { abandoned: 0 });
    assert!(begun.elapsed() < PATIENCE / 4);
}
