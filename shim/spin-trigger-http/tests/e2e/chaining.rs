use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::json;

use crate::client::get;
use crate::fixture::{Running, inputs, run, serve, settings};

#[tokio::test]
async fn a_component_reaches_another_by_its_id_even_a_private_one() {
    let private = json!({"private": true});
    let triggers = json!([{"route": "/...", "component": "outbound"}, {"route": private, "component": "hello-p3"}]);
    let running = serve(&["outbound", "hello-p3"], triggers).await;
    assert_eq!(get(running.address, "/fetch?http://hello-p3.spin.internal/x").await.told(), (200, "hello"));
    running.end().await;
}

#[tokio::test]
async fn a_chained_component_is_told_the_catch_all_route_and_no_client() {
    let triggers = json!([{"route": "/...", "component": "outbound"}, {"route": "/probe", "component": "probe-http"}]);
    let running = serve(&["outbound", "probe-http"], triggers).await;
    let seen = get(running.address, "/fetch?http://probe-http.spin.internal/a/b").await.body;
    for header in [
        r#"["spin-client-addr","0.0.0.0:0"]"#,
        r#"["spin-path-info","/a/b"]"#,
        r#"["spin-matched-route","/..."]"#,
        r#"["spin-full-url","http://probe-http.spin.internal/a/b"]"#,
    ] {
        assert!(seen.contains(header), "{header} in {seen}");
    }
    assert!(!seen.contains(r#"["host""#), "{seen}");
    running.end().await;
}

#[tokio::test]
async fn self_is_the_app_with_its_routes() {
    let triggers = json!([{"route": "/fetch", "component": "outbound"}, {"route": "/hello", "component": "hello-p2"}]);
    let running = serve(&["outbound", "hello-p2"], triggers).await;
    assert_eq!(get(running.address, "/fetch?http://self/hello").await.told(), (200, "hello"));
    assert_eq!(get(running.address, "/fetch?http://self/nothing").await.status, 404);
    running.end().await;
}

/// An app with two guests that ask and two that answer, of which only `guest` has public routes.
async fn asked_from_outside(guest: &str) -> Running {
    let public = |route| json!({"route": route, "component": guest});
    let private = |guest| json!({"route": {"private": true}, "component": guest});
    let guests = ["outbound", "outbound-p3", "hello-p2", "hello-p3"];
    let others = guests.into_iter().filter(|other| *other != guest).map(private);
    serve(&guests, [public("/fetch"), public("/again")].into_iter().chain(others).collect()).await
}

#[tokio::test]
async fn guests_of_either_generation_ask_each_other_at_any_depth() {
    for guest in ["outbound", "outbound-p3"] {
        let running = asked_from_outside(guest).await;
        for answers in ["hello-p2", "hello-p3"] {
            let mut asked = format!("http://{answers}.spin.internal/");
            for host in ["self", "outbound.spin.internal", "outbound-p3.spin.internal", "outbound-p3.spin.internal", "self"] {
                assert_eq!(get(running.address, &format!("/fetch?{asked}")).await.told(), (200, "hello"), "{guest} asks {asked}");
                asked = format!("http://{host}/fetch?{asked}");
            }
        }
        running.end().await;
    }
}

#[tokio::test]
async fn a_guest_that_asks_itself_without_end_fails_and_others_are_answered() {
    for guest in ["outbound", "outbound-p3"] {
        let running = asked_from_outside(guest).await;
        let asking = (0..20).map(|_| get(running.address, "/again"));
        let (endless, other) = tokio::join!(join_all(asking), get(running.address, "/fetch?http://hello-p2.spin.internal/"));
        assert!(endless.iter().all(|answer| answer.status == 502), "{guest}: {endless:?}");
        assert_eq!(other.told(), (200, "hello"), "{guest}");
        running.end().await;
    }
}

#[tokio::test]
async fn a_guest_that_asks_itself_with_all_instances_taken_fails_at_once() {
    let mut inputs = inputs(&["outbound-p3"], json!([{"route": "/...", "component": "outbound-p3"}]));
    inputs.engine.max_instances = 3;
    let running = run(inputs, settings()).await;
    let begun = Instant::now();
    assert_eq!(get(running.address, "/again").await.status, 503);
    assert!(begun.elapsed() < Duration::from_secs(5), "it waited for itself");
    running.end().await;
}
