//! What a `spin.toml` becomes, and what is said of one that is wrong.

use serde_json::{Value, json};
use spin_app::{Error, FileMount, ManifestApp, lock_manifest};

const MINIMAL: &str = r#"
spin_manifest_version = 2
[application]
name = "hello"
[[trigger.http]]
route = "/..."
component = "hello"
[component.hello]
source = "hello.wasm"
"#;

/// More lines of the minimal manifest's component: every field there is but `dependencies`.
const EVERY_FIELD: &str = r#"
description = "says hello"
variables = { greeting = "{{ word }}!" }
environment = { MODE = "test" }
files = ["assets/*", { source = "static", destination = "/" }]
exclude_files = ["assets/secret"]
allowed_outbound_hosts = ["https://example.com"]
allowed_http_hosts = ["old.example.com"]
key_value_stores = ["default"]
sqlite_databases = ["data_1"]
ai_models = ["llama2-chat"]
targets = ["spin-up:3.6", { url = "https://x" }, { path = "x.toml" }]
dependencies_inherit_configuration = true
build = { command = ["make", "make check"], workdir = "hello", watch = ["src/*.rs"] }
tool = { lint = { level = 1 } }
profile.debug = { source = "debug.wasm", environment = { MODE = "debug" }, build.command = "make debug" }
[variables]
word = { default = "Hello", description = "what to say", secret = true }
"#;

const VERSION_1: &str = r#"
spin_version = "1"
name = "shop"
version = "1.0.0"
authors = ["me"]
trigger = { type = "redis", address = "redis://localhost" }
[variables]
greeting = { default = "hi" }
[[component]]
id = "My_Cart"
source = "cart.wasm"
environment = { REDIS_CHANNEL = "restaurant" }
config = { say = "{{ greeting }}" }
[component.trigger]
channel = "orders"
[component.build]
command = "make"
"#;

fn lock(text: &str) -> ManifestApp {
    lock_manifest(text).expect("it should be read")
}

/// The minimal manifest and more lines, which belong to the component unless they open a table.
fn lock_with(lines: &str) -> ManifestApp {
    lock(&format!("{MINIMAL}{lines}"))
}

fn refused(text: &str) -> String {
    lock_manifest(text).expect_err("it should be refused").to_string()
}

fn refused_with(lines: &str) -> String {
    refused(&format!("{MINIMAL}{lines}"))
}

#[test]
fn a_minimal_manifest_locks_as_spin_locks_it() {
    let expected = json!({
        "spin_lock_version": 0,
        "metadata": { "name": "hello", "triggers": {}, "trigger": { "type": "http" } },
        "triggers": [{
            "id": "hello-http-trigger",
            "trigger_type": "http",
            "trigger_config": { "component": "hello", "route": "/..." },
        }],
        "components": [{ "id": "hello", "source": { "content_type": "application/wasm", "source": "hello.wasm" } }],
    });
    assert_eq!(serde_json::to_value(lock(MINIMAL).app).unwrap(), expected);
}

#[test]
fn metadata_has_the_keys_that_spin_gives_it() {
    let app = lock_with(EVERY_FIELD).app;
    let metadata = json!({
        "description": "says hello",
        "allowed_outbound_hosts": ["https://example.com", "http://old.example.com", "https://old.example.com"],
        "key_value_stores": ["default"],
        "databases": ["data_1"],
        "ai_models": ["llama2-chat"],
        "build": { "command": ["make", "make check"], "workdir": "hello", "watch": ["src/*.rs"] },
    });
    assert_eq!(Value::Object(app.components[0].metadata.clone()), metadata);
    assert_eq!(app.components[0].sqlite_databases(), ["data_1"]);
}

#[test]
fn variables_and_environment_are_kept_as_written() {
    let app = lock_with(EVERY_FIELD).app;
    let component = app.component("hello").unwrap();
    assert_eq!((&*component.config["greeting"], &*component.env["MODE"]), ("{{ word }}!", "test"));
    assert_eq!(app.variables["word"].default.as_deref(), Some("Hello"));
    assert!(app.variables["word"].secret);
}

#[test]
fn files_are_left_to_whoever_has_the_apps_root() {
    let ManifestApp { app, files } = lock_with(EVERY_FIELD);
    let placement = FileMount::Placement { source: "static".to_owned(), destination: "/".to_owned() };
    assert_eq!(files["hello"].mounts, [FileMount::Pattern("assets/*".to_owned()), placement]);
    assert_eq!(files["hello"].exclude, ["assets/secret"]);
    assert!(app.components[0].files.is_empty());
    assert!(lock(MINIMAL).files.is_empty());
}

#[test]
fn details_of_the_application_are_its_metadata() {
    let text = MINIMAL.replace(
        "[application]",
        "[application.tool.x]\ny = 1\n[application.trigger.http]\nbase = \"/\"\n[application]\nversion = \"1.2\"\ndescription = \"d\"\nauthors = [\"a\", \"b\"]\ntargets = [\"t\"]",
    );
    let app = lock(&text).app;
    assert_eq!((app.name(), app.version()), ("hello", Some("1.2")));
    assert_eq!(app.trigger_metadata("http"), Some(&json!({ "base": "/" })));
    assert_eq!(app.trigger_metadata("redis"), None);
    assert_eq!(app.metadata["trigger"], json!({ "base": "/", "type": "http" }));
    assert_eq!(app.metadata["authors"], json!(["a", "b"]));
}

#[test]
fn triggers_are_named_after_their_component_then_by_number() {
    let more = "[[trigger.http]]\nroute=\"/a\"\ncomponent=\"hello\"\n[[trigger.http]]\nroute=\"/b\"\nid=\"mine\"\n[[trigger.redis]]\nchannel=\"c\"\ncomponent=\"hello\"\n";
    let app = lock_with(more).app;
    let ids: Vec<_> = app.triggers.iter().map(|trigger| trigger.id.as_str()).collect();
    assert_eq!(ids, ["hello-http-trigger", "http-trigger1", "mine", "hello-redis-trigger"]);
    assert!(!app.metadata.contains_key("trigger"), "there is no only type of triggers");
    assert_eq!(app.triggers_of("redis").count(), 1);
}

#[test]
fn a_component_within_a_trigger_becomes_one_of_the_others() {
    let app = lock_with("[[trigger.http]]\nid=\"menu\"\nroute=\"/menu\"\ncomponent={ source=\"menu.wasm\" }\n").app;
    assert_eq!(app.component("menu-component").unwrap().source.content.source.as_deref(), Some("menu.wasm"));
    assert_eq!(app.triggers[1].component(), Some("menu-component"));
}

#[test]
fn several_components_within_a_trigger_are_numbered() {
    let app = lock_with(
        "[[trigger.other]]\ncomponents.role = [\"hello\", { source=\"a.wasm\" }]\ncomponents.one = { source = \"b.wasm\" }\n",
    )
    .app;
    let trigger = app.triggers_of("other").next().unwrap();
    assert_eq!(
        trigger.trigger_config,
        json!({ "components": { "role": ["hello", "inline-component2"], "one": ["inline-component1"] } })
    );
    assert_eq!(trigger.component_ids().count(), 3);
    assert_eq!(app.components.len(), 3);
}

#[test]
fn a_trigger_may_have_no_component() {
    let app = lock_with("[[trigger.http]]\nroute=\"/gone\"\nstatic_response = { status_code = 410, body = \"gone\" }\n").app;
    assert_eq!(app.triggers[1].component(), None);
    assert_eq!(app.triggers[1].trigger_config["static_response"]["status_code"], 410);
}

#[test]
fn service_chaining_is_required_of_the_host() {
    let app = lock_with("allowed_outbound_hosts = [\"http://hello.spin.internal\"]\n").app;
    assert_eq!((app.spin_lock_version, &app.must_understand[..]), (1, &["component_host_requirements".to_owned()][..]));
    assert_eq!(app.components[0].host_requirements["local_service_chaining"], "required");
}

#[test]
fn version_1_becomes_version_2() {
    let app = lock(VERSION_1).app;
    assert_eq!((app.name(), app.version()), ("shop", Some("1.0.0")));
    assert_eq!(app.trigger_metadata("redis"), Some(&json!({ "address": "redis://localhost" })));
    assert_eq!(app.triggers[0].id, "trigger-my-cart");
    assert_eq!(app.triggers[0].trigger_config, json!({ "channel": "orders", "component": "my-cart" }));
    assert_eq!(app.components[0].config["say"], "{{ greeting }}");
    assert_eq!(app.components[0].env["REDIS_CHANNEL"], "restaurant");
}

/// A component of version 1 with these lines.
fn version_1(lines: &str) -> Result<ManifestApp, Error> {
    let head = "spin_manifest_version = \"1\"\nname = \"a\"\ntrigger = { type = \"http\" }\n";
    lock_manifest(&format!(
        "{head}[[component]]\nid = \"a_b\"\nsource = \"a.wasm\"\n{lines}\n[component.trigger]\nroute = \"/\"\n"
    ))
}

#[test]
fn in_version_1_databases_were_open_unless_hosts_were_listed() {
    let hosts = |lines| version_1(lines).unwrap().app.components[0].allowed_outbound_hosts();
    assert_eq!(hosts(""), ["redis://*:*", "mysql://*:*", "postgres://*:*"]);
    assert_eq!(hosts("allowed_outbound_hosts = []"), [""; 0]);
    assert_eq!(hosts("allowed_outbound_hosts = [\"redis://r\"]\nallowed_http_hosts = [\"self\"]"), ["redis://r", "http://self"]);
    assert_eq!(hosts("allowed_http_hosts = [\"insecure:allow-all\"]")[3..], ["http://*:*", "https://*:*", "http://self"]);
}

#[test]
fn in_version_1_two_components_may_not_come_to_one_id() {
    let twice = "\n[component.trigger]\nroute = \"/x\"\n[[component]]\nid = \"a-b\"\nsource = \"b.wasm\"";
    assert_eq!(version_1(twice).unwrap_err().to_string(), "there are two components with the id \"a-b\"");
    assert!(version_1("unknown = 1").unwrap_err().to_string().contains("unknown field `unknown`"));
}

#[test]
fn broken_toml_is_shown_by_line_and_column() {
    let error = refused("spin_manifest_version = 2\n[application]\nname = \"hello\n");
    assert!(error.starts_with("spin.toml, line 3, column "), "{error}");
    assert_eq!(error.lines().count(), 1);
}

#[test]
fn an_unknown_field_is_named_with_its_line() {
    let error = refused_with("sorce = \"x\"\n");
    assert!(error.starts_with("spin.toml, line 10, column 1: unknown field `sorce`, expected one of `source`"), "{error}");
    assert!(refused_with("[applications]\nx=1\n").contains("line 10, column 2: unknown field `applications`"));
    assert!(refused_with("[variables.x]\ndefalt=\"1\"\n").contains("line 11, column 1: unknown field `defalt`"));
}

#[test]
fn an_unknown_field_of_a_component_within_a_trigger_has_its_line_too() {
    let error = refused_with("[[trigger.http]]\nroute=\"/\"\ncomponent = { source=\"a\", fles=[] }\n");
    assert!(error.contains("line 12, column 27: unknown field `fles`"), "{error}");
}

#[test]
fn a_component_written_twice_is_named() {
    let error = refused_with("[component.hello]\nsource=\"b.wasm\"\n");
    assert_eq!(error, "spin.toml, line 10, column 12: duplicate key `hello`");
    assert!(refused_with("source=\"b.wasm\"\n").contains("duplicate key `source`"));
}

#[test]
fn a_missing_field_is_named() {
    assert!(refused_with("[component.other]\n").contains("line 10, column 1: missing field `source`"));
    assert!(refused("spin_manifest_version = 2\n[application]\n[trigger]\n").contains("missing field `name`"));
    assert!(refused("spin_manifest_version = 2\n[application]\nname=\"a\"\n").contains("missing field `trigger`"));
}

#[test]
fn the_versions_of_the_manifest_are_known() {
    assert!(refused("[application]\n").contains("must say `spin_manifest_version = 2`"));
    assert!(refused("spin_manifest_version = 3\n").contains("`spin_manifest_version = 3`"));
    assert!(refused("spin_manifest_version = \"x\"\n").contains("`spin_manifest_version = \"x\"`"));
}

#[test]
fn an_unknown_component_is_named_with_its_trigger() {
    let error = refused_with("[[trigger.http]]\nroute=\"/\"\ncomponent=\"other\"\n");
    assert_eq!(error, "trigger \"other-http-trigger\" refers to component \"other\", which does not exist");
}

#[test]
fn two_triggers_of_one_id_are_refused() {
    let error = refused_with("[[trigger.http]]\nid=\"x\"\nroute=\"/\"\n[[trigger.redis]]\nid=\"x\"\nchannel=\"c\"\n");
    assert_eq!(error, "there are two triggers with the id \"x\"");
}

#[test]
fn ids_and_names_follow_their_rules() {
    assert!(refused_with("[component.my_comp]\nsource=\"a\"\n").contains("component \"my_comp\" is not a valid name"));
    assert!(refused_with("[variables.my-var]\ndefault=\"a\"\n").contains("variable \"my-var\" is not a valid name"));
    assert!(refused_with("key_value_stores=[\"a b\"]\n").contains("store \"a b\" is not a valid name"));
    assert!(refused_with("[[trigger.http]]\ncomponent=\"a_b\"\n").contains("line 11, column 11: component \"a_b\""));
}

#[test]
fn a_variable_is_required_or_has_a_default() {
    assert!(lock_with("[variables]\nx = { required = true }\n").app.variables["x"].default.is_none());
    assert_eq!(refused_with("[variables]\nx = {}\n"), "variable \"x\": it must have a `default` or be `required = true`");
    assert!(refused_with("[variables]\nx = { required = true, default = \"\" }\n").contains("can only have one"));
}

#[test]
fn a_template_with_an_unknown_variable_names_both() {
    let error = refused_with("variables = { a = \"{{ nope }}\" }\n");
    assert_eq!(error, "variable \"a\" of component \"hello\" refers to the variable \"nope\", which the app does not declare");
    let error = refused_with("allowed_outbound_hosts = [\"http://{{ nope }}\"]\n");
    assert!(error.starts_with("`allowed_outbound_hosts` of component \"hello\" refers to the variable \"nope\""), "{error}");
    assert!(refused_with("variables = { a = \"{{ b\" }\n").starts_with("variable \"a\" of component \"hello\": the template"));
}

#[test]
fn a_malformed_outbound_host_is_named_with_its_component() {
    let error = refused_with("allowed_outbound_hosts = [\"example.com\"]\n");
    assert!(error.starts_with("`allowed_outbound_hosts` of component \"hello\": \"example.com\" is not an allowed"), "{error}");
    let error = refused_with("allowed_http_hosts = [\"ftp://example.com\"]\n");
    assert!(error.starts_with("`allowed_http_hosts` of component \"hello\": "), "{error}");
}

#[test]
fn what_a_shim_cannot_fetch_is_refused_with_advice() {
    let text = MINIMAL.replace("\"hello.wasm\"", "{ package = \"a:b\", version = \"1.0.0\" }");
    let error = refused(&text);
    assert!(
        error.starts_with("component \"hello\": a source from a package registry can't be used in an image: put the wasm"),
        "{error}"
    );
    let digest = "0".repeat(64);
    let text = MINIMAL.replace("\"hello.wasm\"", &format!("{{ url = \"https://x/a.wasm\", digest = \"sha256:{digest}\" }}"));
    assert!(refused(&text).contains("a source by `url`"));
}

#[test]
fn dependencies_are_refused_with_advice_wherever_they_stand() {
    let error = refused_with("dependencies = { \"a:b\" = \"1\" }\n");
    assert!(error.starts_with("component \"hello\": `dependencies` can't be used in an image: compose them"), "{error}");
    let error = refused_with("dependencies = { \"a:b\" = { component = \"side\" } }\n");
    assert_eq!(error, "component \"hello\" refers to component \"side\", which does not exist");
    let error =
        refused_with("[[trigger.http]]\nroute=\"/a\"\ncomponent=\"hello\"\ndependencies.middleware=[{ path=\"m.wasm\" }]\n");
    assert!(error.starts_with("trigger \"http-trigger1\": `dependencies`"), "{error}");
}

#[test]
fn what_is_larger_than_any_manifest_is_not_read() {
    let error = refused(&"#".repeat(2 << 20));
    assert_eq!(error, "spin.toml is 2097152 bytes long, more than the 1048576 bytes allowed");
}
