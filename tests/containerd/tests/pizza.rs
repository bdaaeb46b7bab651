//! The restaurant and the kitchen as they are published, with a real Redis and nothing else around them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use harness::http::{Answer, get, post};
use harness::process::run;
use harness::{Containerd, Redis, SpinApp, Task, required_env, wait_for};

const APPS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../apps");

/// Both apps, on one Redis.
struct House<'a> {
    restaurant: Task<'a>,
    kitchen: Task<'a>,
}

impl<'a> House<'a> {
    fn open(containerd: &'a Containerd, redis: &Redis, cooking_seconds: u32) -> Self {
        let kitchen = open_kitchen(containerd, redis, cooking_seconds);
        Self { kitchen, restaurant: start(containerd, redis, "restaurant", &[]) }
    }

    fn order(&self, dish: &str) -> Answer {
        self.restaurant.get("/menu");
        post(&self.restaurant.url(&format!("/order/{dish}")), "").expect("the restaurant answers")
    }

    fn state(&self, path: &str) -> String {
        let answer = get(&self.restaurant.url(path)).expect("the restaurant answers");
        answer.json()["state"].as_str().unwrap_or_else(|| panic!("{path}: {}", answer.body)).to_owned()
    }

    fn wait_for_state(&self, path: &str, wanted: &str) {
        wait_for(&format!("{path} to be {wanted}"), 60, || match self.state(path) {
            state if state == wanted => Ok(()),
            state => Err(format!("{state}; the kitchen said: {}", self.kitchen.said())),
        });
    }
}

fn open_kitchen<'a>(containerd: &'a Containerd, redis: &Redis, cooking_seconds: u32) -> Task<'a> {
    let cooking = format!("SPIN_VARIABLE_COOKING_SECONDS={cooking_seconds}");
    let kitchen = start(containerd, redis, "kitchen", &["--env", &cooking]);
    redis.wait_for_subscribers("restaurant", 1);
    kitchen
}

fn start<'a>(containerd: &'a Containerd, redis: &Redis, app: &str, flags: &[&str]) -> Task<'a> {
    let (archive, name) = (containerd.dir().join(format!("{app}.tar")), format!("test.local/{app}:1"));
    run(Command::new(required_env("SPIN_OCI"))
        .args(["pack", "--plain", "--name", &name, "--out"])
        .args([&archive, &Path::new(APPS).join(app)]));
    containerd.import(&archive);
    let address = format!("SPIN_VARIABLE_REDIS_ADDRESS={}", redis.address());
    containerd.run(app, &name, &[&["--env", &address], flags].concat())
}

fn location(answer: &Answer) -> String {
    answer.header("location").unwrap_or_else(|| panic!("no location: {answer:?}")).to_owned()
}

#[test]
fn ten_orders_at_once_cook_at_once() {
    let (redis, containerd) = (Redis::start(), Containerd::v2());
    let house = House::open(&containerd, &redis, 8);
    let dishes = ["PIZZA", "pizza", "CARBONARA", "Calzone", "GNOCCHI", "PIZZA", "CALZONE", "gnocchi", "PIZZA", "CARBONARA"];
    let orders: Vec<String> = dishes.iter().map(|dish| location(&house.order(dish))).collect();
    orders.iter().for_each(|order| house.wait_for_state(order, "cooking"));
    // One after the other, the first would have been ready before the last was cooking.
    let states: Vec<String> = orders.iter().map(|order| house.state(order)).collect();
    assert_eq!(states, ["cooking"; 10]);
    orders.iter().for_each(|order| house.wait_for_state(order, "ready"));
}

#[test]
fn a_dish_ordered_again_is_not_ready_when_the_first_one_is() {
    let (redis, containerd) = (Redis::start(), Containerd::v2());
    let house = House::open(&containerd, &redis, 6);
    let first = location(&house.order("PIZZA"));
    house.wait_for_state(&first, "cooking");
    let half_done = Instant::now() + Duration::from_secs(3);
    wait_for("the first to be half done", 60, || harness::wait::holds(Instant::now() > half_done));
    let second = location(&house.order("PIZZA"));
    house.wait_for_state(&first, "ready");
    assert_eq!((house.state("/order/PIZZA"), house.state(&second)), ("cooking".to_owned(), "cooking".to_owned()));
    house.wait_for_state("/order/PIZZA", "ready");
}

#[test]
fn an_order_placed_while_no_kitchen_hears_is_cooked_once_one_does() {
    let (redis, containerd) = (Redis::start(), Containerd::v2());
    let restaurant = start(&containerd, &redis, "restaurant", &[]);
    restaurant.get("/menu");
    let placed = post(&restaurant.url("/order/PIZZA"), "").expect("the restaurant answers");
    assert_eq!((placed.status, placed.json()["state"].as_str()), (201, Some("placed")));
    let house = House { kitchen: open_kitchen(&containerd, &redis, 0), restaurant };
    house.wait_for_state(&location(&placed), "ready");
    house.wait_for_state("/order/PIZZA", "ready");
    house.kitchen.wait_to_say(&["cooking PIZZA"]);
    assert_eq!(house.kitchen.said().matches("cooking PIZZA").count(), 1);
}

#[test]
fn a_malformed_event_is_logged_and_dropped_and_the_next_order_is_cooked() {
    let (redis, containerd) = (Redis::start(), Containerd::v2());
    let house = House::open(&containerd, &redis, 0);
    for event in ["rubbish", "{}", "[[[[", r#"{"name":"PIZZA","state":"placed","id":"x"}"#] {
        redis.cli(&["publish", "restaurant", event]);
    }
    wait_for("all four to be dropped", 20, || match house.kitchen.said() {
        said if said.matches("dropped a message").count() == 4 => Ok(()),
        said => Err(said),
    });
    let order = location(&house.order("PIZZA"));
    house.wait_for_state(&order, "ready");
}

#[test]
fn without_redis_the_guest_is_told_when_to_come_back_and_served_once_redis_is_there() {
    let (redis, containerd) = (Redis::start(), Containerd::v2());
    let house = House::open(&containerd, &redis, 0);
    assert_eq!(house.order("PIZZA").status, 201);
    let port = redis.stop();
    let refused = house.order("PIZZA");
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true));
    assert!(refused.json()["error"].is_string());
    let redis = Redis::start_on(port);
    redis.wait_for_subscribers("restaurant", 1);
    assert_eq!(house.order("PIZZA").status, 201);
    house.wait_for_state("/order/PIZZA", "ready");
}

/// An app of `tests/components` with the manifest it has there, but for Redis's address.
fn first_version(name: &str, redis: &Redis) -> SpinApp {
    let dir = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../components")).join(name);
    let manifest = std::fs::read_to_string(dir.join("spin.toml")).expect("the guest has a manifest");
    SpinApp::new(&manifest.replace("redis://redis:6379", &redis.address())).guest(name)
}

#[test]
fn the_apps_as_their_first_version_was_run_unchanged() {
    let (redis, containerd) = (Redis::start(), Containerd::v2());
    let kitchen = containerd.serve("kitchen", &first_version("first-kitchen", &redis));
    redis.wait_for_subscribers("restaurant", 1);
    let restaurant = containerd.serve("restaurant", &first_version("first-restaurant", &redis));
    assert_eq!(restaurant.get("/order/PIZZA").status, 404);
    let placed = post(&restaurant.url("/order/PIZZA"), "").expect("the restaurant answers");
    assert_eq!((placed.status, placed.body.as_str()), (201, r#"{"name":"PIZZA","state":"placed"}"#));
    wait_for("the pizza", 20, || match redis.cli(&["get", "PIZZA"]) {
        order if order == r#"{"name":"PIZZA","state":"ready"}"# => Ok(()),
        order => Err(format!("{order}; the kitchen said: {}", kitchen.said())),
    });
}
