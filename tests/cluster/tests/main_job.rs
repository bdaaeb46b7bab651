//! The main job: a pizza ordered with curl is cooked by wasm pods.

use harness::cluster::{SERVER, URL, WORKER, kube, kube_says};
use harness::http::{get, post};
use harness::wait_for;

#[test]
fn both_nodes_are_ready_with_the_labels_of_the_five_steps() {
    let ready = kube(&[
        "get",
        "nodes",
        "-o",
        "jsonpath={range .items[*]}{.metadata.name} {.status.conditions[?(@.type=='Ready')].status}{'\\n'}{end}",
    ]);
    assert!(ready.contains(&format!("{SERVER} True")) && ready.contains(&format!("{WORKER} True")), "{ready}");
    assert!(kube(&["get", "nodes", "-l", "wasm=yes,spin=yes", "-o", "name"]).ends_with(WORKER));
}

#[test]
fn every_pod_is_where_it_belongs() {
    let node = |app: &str| kube(&["get", "pods", "-l", &format!("app={app}"), "-o", "jsonpath={.items[*].spec.nodeName}"]);
    assert_eq!((node("redis").as_str(), node("restaurant").as_str(), node("kitchen").as_str()), (SERVER, WORKER, WORKER));
}

#[test]
fn k8s_is_accepted_whole() {
    let said = kube_says(&["apply", "--dry-run=server", "-f", concat!(env!("CARGO_MANIFEST_DIR"), "/../../k8s")]);
    assert!(said.contains("runtimeclass.node.k8s.io/wasmtime-spin-v2") && !said.contains("error"), "{said}");
}

#[test]
fn the_menu_has_four_dishes_and_their_prices() {
    let menu = get(&format!("{URL}/menu")).expect("the restaurant answers");
    assert_eq!(menu.status, 200);
    let wanted = r#"[{"name":"PIZZA","price":25},{"name":"CARBONARA","price":18},{"name":"CALZONE","price":20},{"name":"GNOCCHI","price":17}]"#;
    assert_eq!(menu.json(), serde_json::from_str::<serde_json::Value>(wanted).expect("it is JSON"));
}

/// Waits until the order of `dish` has `state`.
fn wait_for_state(dish: &str, state: &str) {
    wait_for(&format!("{dish} to be {state}"), 60, || match get(&format!("{URL}/order/{dish}"))? {
        answer if answer.status == 200 && answer.json()["state"] == state => Ok(()),
        answer => Err(answer.body),
    });
}

#[test]
fn an_order_is_placed_then_cooked_then_ready() {
    let placed = post(&format!("{URL}/order/pizza"), "").expect("the restaurant answers");
    assert_eq!(
        (placed.status, placed.json()["name"].as_str(), placed.json()["state"].as_str()),
        (201, Some("PIZZA"), Some("placed"))
    );
    wait_for_state("PIZZA", "cooking");
    wait_for_state("PIZZA", "ready");
    wait_for("the kitchen to say so", 10, || match kube(&["logs", "-l", "app=kitchen", "--tail=100"]) {
        logs if logs.contains("PIZZA") => Ok(()),
        logs => Err(logs),
    });
}

#[test]
fn a_dish_that_is_not_on_the_menu_is_a_404_in_json() {
    let answer = post(&format!("{URL}/order/SUSHI"), "").expect("the restaurant answers");
    assert_eq!(answer.status, 404);
    assert!(answer.json()["error"].is_string());
}

#[test]
fn a_wrong_method_is_a_405_that_names_the_right_one() {
    let answer = post(&format!("{URL}/menu"), "").expect("the restaurant answers");
    assert_eq!((answer.status, answer.header("allow").map(|allow| allow.contains("GET"))), (405, Some(true)));
}

#[test]
fn three_orders_at_once_cook_at_once() {
    let dishes = ["CARBONARA", "CALZONE", "GNOCCHI"];
    for dish in dishes {
        assert_eq!(post(&format!("{URL}/order/{dish}"), "").map(|answer| answer.status), Ok(201));
    }
    dishes.iter().for_each(|dish| wait_for_state(dish, "cooking"));
    let states: Vec<_> =
        dishes.iter().map(|dish| get(&format!("{URL}/order/{dish}")).expect("it answers").json()["state"].clone()).collect();
    assert_eq!(states, ["cooking", "cooking", "cooking"]);
    dishes.iter().for_each(|dish| wait_for_state(dish, "ready"));
}
