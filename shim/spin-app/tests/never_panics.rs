//! Everything this crate reads came from somebody else: whatever it is, it is read or refused, and never crashes the reader.

use proptest::{prelude::*, sample::Index};
use spin_app::{
    LockedApp, lock_manifest,
    outbound::{AllowedHost, AllowedHosts, OutboundUrl},
    template::Template,
};

const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "a"
trigger.http = { base = "/" }
[variables]
v = { default = "x" }
[[trigger.http]]
route = "/..."
component = { source = "a.wasm", files = ["a/*", { source = "b", destination = "/" }] }
[component.b-c]
source = { package = "a:b", version = "1.0.0" }
allowed_outbound_hosts = ["http://{{ v }}:1..2"]
dependencies = { "a:b/c@1.0.0" = { path = "x" } }
"#;

const VERSION_1: &str = r#"
spin_version = "1"
name = "a"
trigger = { type = "http", base = "/" }
[[component]]
id = "A_b"
source = "a.wasm"
allowed_http_hosts = ["a:1", "insecure:allow-all"]
trigger = { route = "/" }
"#;

const LOCKED: &str = r#"{"spin_lock_version":1,"must_understand":["host_requirements"],"metadata":{"trigger":{"type":"http"}},
"variables":{"v":{}},"triggers":[{"id":"t","trigger_type":"http","trigger_config":{"component":"a"}}],
"components":[{"id":"a","source":{"inline":"AA=="},"metadata":{"allowed_http_hosts":["x"]},"config":{"k":"{{ v }}"}}]}"#;

/// The text with a piece of it replaced by a piece of it or by anything.
fn mutated(text: &'static str) -> impl Strategy<Value = String> {
    let place = any::<Index>;
    (place(), place(), place(), place(), ".{0,6}").prop_map(move |(from, to, start, end, anything)| {
        let chars: Vec<char> = text.chars().collect();
        let piece = |a: Index, b: Index| {
            let (a, b) = (a.index(chars.len()), b.index(chars.len()));
            a.min(b)..a.max(b).min(a.min(b) + 12)
        };
        let (cut, copy) = (piece(from, to), piece(start, end));
        let middle = chars[copy].iter().copied().chain(anything.chars());
        chars[..cut.start].iter().copied().chain(middle).chain(chars[cut.end..].iter().copied()).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn on_no_manifest(text in prop_oneof![mutated(MANIFEST), mutated(VERSION_1), any::<String>()]) {
        let _ = lock_manifest(&text).map_err(|error| error.to_string());
    }

    #[test]
    fn on_no_locked_app(text in prop_oneof![mutated(LOCKED), any::<String>()]) {
        let _ = LockedApp::parse(text.as_bytes()).map_err(|error| error.to_string());
    }

    #[test]
    fn on_no_template(text in prop_oneof!["[{} a]{0,40}", any::<String>()]) {
        if let Ok(template) = Template::parse(&text) {
            let again = Template::parse(&template.to_string()).expect("what is shown is a template");
            prop_assert!(again.names().eq(template.names()));
        }
    }

    #[test]
    fn on_no_allowed_host(text in prop_oneof!["[a*]{0,2}(://)?[\\[\\]a1:*./{}@]{0,20}", any::<String>()]) {
        let url = OutboundUrl::parse(&text, "http");
        let hosts = AllowedHosts::parse([&text]);
        if let (Ok(url), Ok(hosts)) = (url, hosts) {
            hosts.allows(&url);
        }
    }

    #[test]
    fn on_no_address(text in "([a-z]{1,3}://)?[a-z0-9.@:\\[\\]/?#\\\\%]{0,24}") {
        if let Ok(url) = OutboundUrl::parse(&text, "http") {
            prop_assert_eq!(OutboundUrl::parse(&url.to_string(), "http").expect("what is shown is an address"), url.clone());
            prop_assert!(url.port.is_none() || AllowedHost::parse(&url.to_string()).is_ok() || url.scheme.contains(|c: char| !c.is_ascii_alphabetic()));
        }
    }
}

#[test]
fn on_no_depth() {
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(20_000), close.repeat(20_000));
    let values = [deep("[", "]"), deep("{a=", "}"), deep("{\"a\":", "}")];
    for value in values {
        assert!(lock_manifest(&format!("x = {value}")).is_err());
        assert!(LockedApp::parse(value.as_bytes()).is_err());
    }
    let dotted = vec!["a"; 20_000].join(".");
    assert!(lock_manifest(&format!("{dotted} = 1")).is_err());
    assert!(lock_manifest(&format!("[{dotted}]")).is_err());
    assert!(lock_manifest(&format!("[[trigger.http]]\n{dotted} = 1")).is_err());
}

#[test]
fn on_no_number_of_triggers() {
    let triggers = "[[trigger.http]]\nroute=\"/\"\n".repeat(30_000);
    let text = format!("spin_manifest_version = 2\napplication.name = \"a\"\n{triggers}");
    assert_eq!(lock_manifest(&text).expect("it is long, but right").app.triggers.len(), 30_000);
}

#[test]
fn on_no_number_of_components_within_triggers() {
    let triggers = "[[trigger.x]]\ncomponents.x=[{source=\"a\"},{source=\"b\"}]\n".repeat(15_000);
    let text = format!("spin_manifest_version = 2\napplication.name = \"a\"\n{triggers}");
    assert_eq!(lock_manifest(&text).expect("it is long, but right").app.components.len(), 30_000);
}
