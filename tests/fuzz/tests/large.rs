//! Inputs as large as readers take them: deep ones, and long ones. They stay within the targets' limits.

use fuzz::{TARGETS, Target};
use spin_app::{LockedApp, MAX_MANIFEST_BYTES, ManifestApp, lock_manifest};

/// So often, each of these would overflow a stack if a reader followed it without a limit.
const DEPTH: usize = 20_000;

fn nested(open: &str, close: &str) -> String {
    format!("{}1{}", open.repeat(DEPTH), close.repeat(DEPTH))
}

/// A manifest with these triggers, which the target checks too.
fn locked(triggers: &str) -> ManifestApp {
    let text = format!("spin_manifest_version = 2\napplication.name = \"a\"\n{triggers}");
    assert!(text.len() < MAX_MANIFEST_BYTES);
    Target::named("manifest").expect("a target").run(text.as_bytes());
    lock_manifest(&text).expect("it is long, but right")
}

#[test]
fn no_depth_overflows_a_stack() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("{a=", "}"), ("*1\r\n", ""), ("{{", "}}"), ("/:a", ""), ("a.", "=1")] {
        let input = nested(open, close);
        for target in &TARGETS {
            target.run(input.as_bytes());
            target.run(format!("x = {input}").as_bytes());
        }
    }
}

#[test]
fn nested_values_are_refused() {
    for value in [nested("[", "]"), nested("{a=", "}"), nested("{\"a\":", "}")] {
        assert!(lock_manifest(&format!("x = {value}")).is_err());
        assert!(LockedApp::parse(value.as_bytes()).is_err());
    }
    let dotted = vec!["a"; DEPTH].join(".");
    for text in [format!("{dotted} = 1"), format!("[{dotted}]"), format!("[[trigger.http]]\n{dotted} = 1")] {
        assert!(lock_manifest(&text).is_err());
    }
}

#[test]
fn ten_thousand_triggers_are_locked_in_time() {
    assert_eq!(locked(&"[[trigger.http]]\nroute=\"/\"\n".repeat(10_000)).app.triggers.len(), 10_000);
}

#[test]
fn ten_thousand_components_within_triggers_are_locked_in_time() {
    let triggers = "[[trigger.x]]\ncomponents.x=[{source=\"a\"},{source=\"b\"}]\n".repeat(5_000);
    assert_eq!(locked(&triggers).app.components.len(), 10_000);
}

#[test]
fn three_thousand_mixed_routes_are_added_in_time() {
    let routes: Vec<String> = (0..3_000).map(|number| format!("/:name.{number}")).collect();
    Target::named("routes").expect("a target").run(routes.join("\n").as_bytes());
}
