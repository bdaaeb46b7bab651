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

#[tokio::test]
async fn a_store_that_is_not_listed_is_denied() {
    for guest in GUESTS {
        let answer = App::new(guest).http().await.get("/key").await;
        assert_eq!(answer.status, 500, "{guest}");
        assert!(answer.text().contains("AccessDenied"), "{guest}: {answer:?}");
    }
}
