//! The Redis trigger, and both triggers in one app.

use harness::{Containerd, Redis, SpinApp, Task, wait_for};

/// An app whose component `sink` pushes every message of channel `in` to the list `out`, both on the Redis at `address`.
fn sink(address: &str, guest: &str, more: &str) -> SpinApp {
    SpinApp::new(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"sink\"\n[application.trigger.redis]\naddress = \"{address}\"\n\
         [[trigger.redis]]\nchannel = \"in\"\ncomponent = \"sink\"\n{more}\
         [component.sink]\nsource = \"{guest}.wasm\"\nallowed_outbound_hosts = [\"{address}\"]\n\
         [component.sink.variables]\nlist = \"out\"\nredis_address = \"{address}\"\n"
    ))
    .guest(guest)
}

/// Waits until the list `out` holds what `wanted` says, in any order.
fn wait_for_list(redis: &Redis, task: &Task, wanted: &[&str]) {
    wait_for("the messages", 30, || {
        let text = redis.cli(&["lrange", "out", "0", "-1"]);
        let mut lines: Vec<_> = text.lines().collect();
        lines.sort_unstable();
        if lines == wanted { Ok(()) } else { Err(format!("{lines:?}; the app said: {}", task.said())) }
    });
}

#[test]
fn messages_reach_a_component_of_either_generation() {
    for guest in ["redis-sink", "redis-sink-p3"] {
        let (redis, containerd) = (Redis::start(), Containerd::v2());
        let task = containerd.serve("sink", &sink(&redis.address(), guest, ""));
        redis.wait_for_subscribers("in", 1);
        redis.cli(&["publish", "in", "one"]);
        redis.cli(&["publish", "in", "two"]);
        wait_for_list(&redis, &task, &["one", "two"]);
    }
}

#[test]
fn several_messages_are_in_work_at_once() {
    let (redis, containerd) = (Redis::start(), Containerd::v2());
    let task = containerd.serve("sink", &sink(&redis.address(), "redis-sink", ""));
    redis.wait_for_subscribers("in", 1);
    (0..10).for_each(|_| drop(redis.cli(&["publish", "in", "sleep:5000"])));
    wait_for("all ten to be received", 60, || match task.said().matches("received").count() {
        10 => Ok(()),
        received => Err(received),
    });
    // One after the other, nine would be through by now.
    assert_eq!(redis.cli(&["llen", "out"]), "0");
    wait_for_list(&redis, &task, &["sleep:5000"; 10]);
}

#[test]
fn a_trap_in_one_message_does_not_stop_the_next() {
    let (redis, containerd) = (Redis::start(), Containerd::v2());
    let task = containerd.serve("sink", &sink(&redis.address(), "redis-sink", ""));
    redis.wait_for_subscribers("in", 1);
    redis.cli(&["publish", "in", "trap"]);
    redis.cli(&["publish", "in", "after"]);
    wait_for_list(&redis, &task, &["after"]);
    task.wait_to_say(&["sink"]);
}

#[test]
fn a_message_that_a_component_refuses_is_a_line_on_stderr() {
    let (redis, containerd) = (Redis::start(), Containerd::v2());
    let task = containerd.serve("sink", &sink(&redis.address(), "redis-sink", ""));
    redis.wait_for_subscribers("in", 1);
    redis.cli(&["publish", "in", "fail"]);
    task.wait_to_say(&["received fail", "component \"sink\" refused a message of Redis channel \"in\""]);
}

#[test]
fn the_app_lives_on_when_redis_goes_and_comes_back() {
    let (redis, containerd) = (Redis::start(), Containerd::v2());
    let task = containerd.serve("sink", &sink(&redis.address(), "redis-sink", ""));
    redis.wait_for_subscribers("in", 1);
    let redis = Redis::start_on(redis.stop());
    redis.wait_for_subscribers("in", 1);
    redis.cli(&["publish", "in", "again"]);
    wait_for_list(&redis, &task, &["again"]);
}

#[test]
fn an_app_may_start_before_its_redis_does() {
    let port = Redis::start().stop();
    let containerd = Containerd::v2();
    let _task = containerd.serve("early", &sink(&format!("redis://127.0.0.1:{port}"), "redis-sink", ""));
    Redis::start_on(port).wait_for_subscribers("in", 1);
}

#[test]
fn http_and_redis_triggers_run_in_one_app() {
    let (redis, containerd) = (Redis::start(), Containerd::v2());
    let http = "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"hello\"\n[component.hello]\nsource = \"hello-p2.wasm\"\n";
    let task = containerd.serve("both", &sink(&redis.address(), "redis-sink", http).guest("hello-p2"));
    assert_eq!(task.get("/").status, 200);
    redis.wait_for_subscribers("in", 1);
    redis.cli(&["publish", "in", "message"]);
    wait_for_list(&redis, &task, &["message"]);
}
