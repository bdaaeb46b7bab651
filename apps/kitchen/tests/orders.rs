//! The two scripts that touch orders, the restaurant's and the kitchen's, in a real Redis.
#![cfg(not(target_family = "wasm"))]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kitchen::event::Ticket;
use tempfile::TempDir;

/// A process of a test's own, gone when the test is.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself: then there is nothing to end and nothing to tell.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server on a socket in a directory of its own.
struct Redis {
    _server: Process,
    dir: TempDir,
}

impl Redis {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--unixsocket", "redis.sock"]).current_dir(&dir);
        let server = command.stdout(Stdio::null()).spawn().expect("redis-server is installed");
        let redis = Self { _server: Process(server), dir };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !redis.cli().arg("PING").output().expect("redis-cli is installed").status.success() {
            assert!(Instant::now() < deadline, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        redis
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("redis.sock")
    }

    fn cli(&self) -> Command {
        let mut command = Command::new("redis-cli");
        command.arg("-s").arg(self.socket());
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = self.cli().arg("-e").args(arguments).output().expect("redis-cli is installed");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
    }

    fn place(&self, dish: &str) -> String {
        let order = format!(r#"{{"name":"{dish}","state":"placed"}}"#);
        let script = include_str!("../../restaurant/src/place.lua");
        self.run(&["EVAL", script, "2", dish, "orders", &order, "restaurant", "60"])
    }

    fn advance(&self, dish: &str, id: u64, from: &str, to: &str) -> bool {
        let script = include_str!("../src/advance.lua");
        let key = format!("{dish}:{id}");
        self.run(&["EVAL", script, "2", dish, &key, &id.to_string(), from, to]) == "1"
    }

    fn state(&self, key: &str) -> String {
        let order: serde_json::Value = serde_json::from_str(&self.run(&["GET", key])).expect("orders are JSON");
        order["state"].as_str().expect("orders have a state").to_owned()
    }
}

#[test]
fn an_order_goes_from_placed_over_cooking_to_ready() {
    let redis = Redis::start();
    redis.place("PIZZA");
    assert_eq!(redis.state("PIZZA"), "placed");
    assert!(redis.advance("PIZZA", 1, "placed", "cooking"));
    assert_eq!(redis.state("PIZZA"), "cooking");
    assert!(redis.advance("PIZZA", 1, "cooking", "ready"));
    assert_eq!((redis.state("PIZZA"), redis.state("PIZZA:1")), ("ready".into(), "ready".into()));
}

#[test]
fn the_timer_of_an_earlier_order_leaves_the_newer_one_alone() {
    let redis = Redis::start();
    redis.place("PIZZA");
    assert!(redis.advance("PIZZA", 1, "placed", "cooking"));
    redis.place("PIZZA");
    assert!(redis.advance("PIZZA", 2, "placed", "cooking"));
    assert!(redis.advance("PIZZA", 1, "cooking", "ready"));
    assert_eq!((redis.state("PIZZA"), redis.state("PIZZA:1")), ("cooking".into(), "ready".into()));
}

#[test]
fn of_two_kitchens_one_cooks_an_order() {
    let redis = Redis::start();
    redis.place("PIZZA");
    assert!(redis.advance("PIZZA", 1, "placed", "cooking"));
    assert!(!redis.advance("PIZZA", 1, "placed", "cooking"));
}

#[test]
fn the_same_json_is_stored_announced_and_answered() {
    let redis = Redis::start();
    let subscriber = redis.cli().args(["SUBSCRIBE", "restaurant"]).stdout(Stdio::piped()).spawn();
    let mut subscriber = Process(subscriber.expect("redis-cli is installed"));
    let mut lines = BufReader::new(subscriber.0.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    // What redis-cli prints: three lines once it listens, then three for a message.
    assert_eq!(lines.nth(2).as_deref(), Some("1"));
    let placed = redis.place("CALZONE");
    assert_eq!(lines.nth(2), Some(placed.clone()));
    assert_eq!(redis.run(&["GET", "CALZONE"]), placed);
    assert_eq!(Ticket::read(placed.as_bytes()).expect("a ticket").id, 1);
}

#[test]
fn what_another_program_stored_is_neither_changed_nor_a_reason_to_fail() {
    let redis = Redis::start();
    for value in ["hello", "[]", "7", "null", r#"{"id":1}"#] {
        redis.run(&["SET", "PIZZA", value]);
        assert!(!redis.advance("PIZZA", 1, "placed", "cooking"), "{value}");
        assert_eq!(redis.run(&["GET", "PIZZA"]), value);
    }
}

#[test]
fn an_order_that_is_gone_is_not_brought_back() {
    let redis = Redis::start();
    assert!(!redis.advance("PIZZA", 1, "cooking", "ready"));
    assert_eq!(redis.run(&["EXISTS", "PIZZA", "PIZZA:1"]), "0");
}
