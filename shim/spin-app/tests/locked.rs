//! Locked apps as artifacts carry them.

use serde_json::{Value, json};
use spin_app::{LockedApp, variables};

fn app() -> Value {
    json!({
        "spin_lock_version": 1,
        "must_understand": ["host_requirements", "component_host_requirements"],
        "metadata": { "name": "shop", "version": "1.0.0", "origin": "file:///x/spin.toml", "triggers": { "http": { "base": "/" } } },
        "host_requirements": { "local_service_chaining": "required", "wings": "optional" },
        "variables": { "host": { "default": "cache" }, "token": { "secret": true } },
        "triggers": [{ "id": "t", "trigger_type": "http", "trigger_config": { "component": "front", "route": "/" } }],
        "components": [{
            "id": "front",
            "metadata": { "allowed_outbound_hosts": ["redis://{{ host }}"], "key_value_stores": ["default"] },
            "source": { "content_type": "application/wasm", "digest": "sha256:00" },
            "files": [{ "path": "a.txt", "inline": "aGk=" }],
            "config": { "address": "redis://{{ host }}" },
        }],
    })
}

fn parse(app: &Value) -> Result<LockedApp, String> {
    LockedApp::parse(app.to_string().as_bytes()).map_err(|error| error.to_string())
}

/// What is said of the app with one value changed.
fn refused(pointer: &str, value: Value) -> String {
    let mut app = app();
    let (parent, key) = pointer.rsplit_once('/').expect("pointers begin with a slash");
    app.pointer_mut(parent).expect("the app has it")[key] = value;
    parse(&app).expect_err("it should be refused")
}

#[test]
fn an_artifacts_app_is_read() {
    let app = parse(&app()).unwrap();
    assert_eq!((app.name(), app.version()), ("shop", Some("1.0.0")));
    let component = app.component("front").unwrap();
    assert_eq!(component.allowed_outbound_hosts(), ["redis://{{ host }}"]);
    assert_eq!(component.files[0].content.inline.as_deref(), Some(&b"hi"[..]));
    assert_eq!(variables::required(&app).collect::<Vec<_>>(), ["token"]);
    assert_eq!(variables::templates(component).unwrap()["address"].names().collect::<Vec<_>>(), ["host"]);
}

#[test]
fn what_is_read_is_written_back_the_same() {
    assert_eq!(serde_json::to_value(parse(&app()).unwrap()).unwrap(), app());
}

#[test]
fn version_0_has_the_settings_of_its_only_type_of_triggers_in_one_place() {
    let mut old = app();
    old["spin_lock_version"] = json!(0);
    old["metadata"] = json!({ "name": "old", "trigger": { "type": "redis", "address": "redis://r" } });
    let app = parse(&old).unwrap();
    assert_eq!(app.trigger_metadata("redis"), Some(&json!({ "address": "redis://r" })));
    assert_eq!(app.trigger_metadata("http"), None);
}

#[test]
fn deprecated_http_hosts_are_converted() {
    let mut old = app();
    old["components"][0]["metadata"] = json!({ "allowed_http_hosts": ["example.com"] });
    let app = parse(&old).unwrap();
    assert_eq!(app.components[0].allowed_outbound_hosts(), ["http://example.com", "https://example.com"]);
    let error = refused("/components/0/metadata", json!({ "allowed_http_hosts": ["ftp://x"] }));
    assert!(error.starts_with("`allowed_http_hosts` of component \"front\": "), "{error}");
}

#[test]
fn malformed_json_is_shown_by_line_and_column() {
    let error = LockedApp::parse(b"{\n  \"triggers\": [").unwrap_err().to_string();
    assert_eq!(error, "the locked app is malformed: EOF while parsing a list at line 2 column 15");
    assert!(refused("/components/0/id", Value::Null).contains("expected a string"));
    assert!(LockedApp::parse(b"{}").unwrap_err().to_string().contains("missing field `triggers`"));
}

#[test]
fn what_must_be_understood_and_is_not_is_named() {
    assert!(refused("/must_understand", json!(["wings"])).contains("understood in \"wings\""));
    assert_eq!(refused("/spin_lock_version", json!(2)), "the locked app has version 2; only 0 and 1 are known");
    let error = refused("/host_requirements", json!({ "middleware": "required" }));
    assert_eq!(error, "the app requires \"middleware\" of its host, which this shim does not have");
    let error = refused("/components/0/host_requirements", json!({ "wings": true }));
    assert!(error.starts_with("component \"front\" requires \"wings\""), "{error}");
}

#[test]
fn a_trigger_of_an_unknown_component_is_named() {
    let error = refused("/triggers/0/trigger_config", json!({ "component": "back" }));
    assert_eq!(error, "trigger \"t\" refers to component \"back\", which does not exist");
    let error = refused("/triggers/0/trigger_config", json!({ "component": "front", "components": { "x": ["side"] } }));
    assert!(error.contains("\"side\""), "{error}");
    assert!(refused("/triggers/0/trigger_config", json!({ "component": 1 })).starts_with("trigger \"t\": its `component`"));
}

#[test]
fn duplicates_are_named() {
    let app = app();
    let twice = |key: &str| json!([app[key][0], app[key][0]]);
    assert_eq!(refused("/components", twice("components")), "there are two components with the id \"front\"");
    assert_eq!(refused("/triggers", twice("triggers")), "there are two triggers with the id \"t\"");
}

#[test]
fn an_id_is_never_a_path() {
    assert!(refused("/components/0/id", json!("../../etc")).contains("it has a slash"));
    assert!(refused("/components/0/id", json!("..")).contains("means a directory"));
}

#[test]
fn lists_are_lists_of_strings() {
    let error = refused("/components/0/metadata", json!({ "key_value_stores": [1] }));
    assert_eq!(error, "`key_value_stores` of component \"front\": it is not a list of strings");
    let error = refused("/components/0/metadata", json!({ "allowed_outbound_hosts": "*" }));
    assert!(error.contains("not a list of strings"), "{error}");
}

#[test]
fn sources_dependencies_and_variables_are_checked() {
    assert!(refused("/components/0/source", json!({ "content_type": "application/wasm" })).contains("`source`"));
    assert!(refused("/components/0/dependencies", json!({ "a:b": {} })).contains("compose them"));
    assert!(
        refused("/triggers/0/trigger_dependencies", json!({ "middleware": [] })).starts_with("trigger \"t\": `dependencies`")
    );
    assert!(refused("/variables", json!({})).contains("the variable \"host\", which the app does not declare"));
    assert!(refused("/variables", json!({ "host": {}, "Host": {} })).contains("variable \"Host\" is not a valid name"));
    assert!(refused("/components/0/files/0/inline", json!("!")).starts_with("the locked app is malformed: "));
}

#[test]
fn what_is_larger_than_any_locked_app_is_not_read() {
    let error = LockedApp::parse(&vec![b' '; 17 << 20]).unwrap_err().to_string();
    assert!(error.starts_with("the locked app is 17825792 bytes long"), "{error}");
}

#[test]
fn settings_nested_deeper_than_64_levels_are_refused_wherever_they_stand() {
    let nested = |levels: usize| serde_json::from_str::<Value>(&format!("{}{}", "[".repeat(levels), "]".repeat(levels))).unwrap();
    for pointer in ["/metadata/deep", "/components/0/metadata/deep", "/triggers/0/trigger_config/deep"] {
        assert!(refused(pointer, nested(65)).contains("more than 64 levels deep"), "{pointer}");
    }
    let mut app = app();
    app["triggers"][0]["trigger_config"]["deep"] = nested(63);
    parse(&app).unwrap();
}

#[test]
fn a_manifest_whose_settings_json_could_not_carry_is_refused() {
    let deep = format!("{}a = {}{}", "a.".repeat(70), "[".repeat(70), "]".repeat(70));
    let manifest = format!("spin_manifest_version = 2\napplication.name = \"a\"\n[[trigger.x]]\n{deep}\n");
    let error = spin_app::lock_manifest(&manifest).unwrap_err().to_string();
    assert!(error.contains("trigger") && error.contains("more than 64 levels deep"), "{error}");
}
