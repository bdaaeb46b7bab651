//! Bad input ends with a sentence a person understands, and an exit code of its own.

use harness::containerd::shares;
use harness::process::said;
use harness::wait::holds;
use harness::{Containerd, SpinApp, wait_for};

/// `spin.toml` of one HTTP component from `source`.
fn manifest(source: &str) -> String {
    format!(
        "spin_manifest_version = 2\n[application]\nname = \"bad\"\n[[trigger.http]]\nroute = \"/...\"\ncomponent = \"main\"\n\
         [component.main]\nsource = \"{source}\"\n"
    )
}

/// Runs the app to its end: it must end with `code` and say every one of `words`.
fn ends(app: &SpinApp, code: i32, words: &[&str]) {
    let containerd = Containerd::v2();
    let (ended, said) = containerd.run_to_end("bad", app, &[]);
    assert_eq!(ended, Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said:?}");
    }
}

/// Tries to run an image that is no app, with this command: the creation must fail and say every one of `words`.
fn is_not_created(app: &SpinApp, command: &str, words: &[&str]) {
    let containerd = Containerd::v2();
    containerd.import(&app.plain("test.local/bad:1"));
    let image = "test.local/bad:1";
    let run = ["run", "--rm", "--null-io", shares(), "--runtime", "io.containerd.spin.v2", image, "bad", command];
    let output = containerd.ctr(&run);
    let said = said(&output);
    assert!(!output.status.success(), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said:?}");
    }
}

#[test]
fn an_image_that_is_no_app_and_whose_command_is_not_there_is_not_created() {
    let app = || SpinApp::http("hello-p2", "").without("spin.toml");
    is_not_created(&app(), "missing", &["exec: \"missing\": executable file not found in $PATH", "no spin.toml at its root"]);
    is_not_created(&app(), "/missing", &["exec: \"/missing\": no such file or directory"]);
    is_not_created(&app(), "/", &["exec: \"/\": is a directory"]);
    is_not_created(&app(), "/hello-p2.wasm", &["exec: \"/hello-p2.wasm\": permission denied"]);
    let elsewhere = app().file("app/spin.toml", b"");
    is_not_created(&elsewhere, "/", &["no spin.toml at its root"]);
}

#[test]
fn broken_toml_is_named_with_its_line() {
    ends(&SpinApp::new("spin_manifest_version = 2\n[application\n"), 64, &["spin.toml", "line 2"]);
}

#[test]
fn an_unknown_field_is_named() {
    ends(&SpinApp::new(&(manifest("hello-p2.wasm") + "colour = \"red\"\n")).guest("hello-p2"), 64, &["colour"]);
}

#[test]
fn an_unknown_trigger_is_named() {
    let text = manifest("hello-p2.wasm").replace("trigger.http", "trigger.carrier-pigeon").replace("route = \"/...\"\n", "");
    ends(&SpinApp::new(&text).guest("hello-p2"), 64, &["carrier-pigeon"]);
}

#[test]
fn a_missing_wasm_file_is_named() {
    ends(&SpinApp::new(&manifest("nowhere.wasm")), 65, &["nowhere.wasm"]);
}

#[test]
fn a_file_that_is_not_wasm_is_named() {
    ends(&SpinApp::new(&manifest("text.wasm")).file("text.wasm", b"this is no wasm"), 65, &["main", "wasm"]);
}

#[test]
fn a_component_without_the_triggers_export_is_named_with_it() {
    ends(&SpinApp::http("no-export", ""), 65, &["main", "wasi:http"]);
}

#[test]
fn an_unknown_import_is_named() {
    ends(&SpinApp::http("unknown-import", ""), 65, &["main", "test:delphi/oracle"]);
}

#[test]
fn a_missing_required_variable_is_named() {
    let text = manifest("hello-p2.wasm")
        + "[component.main.variables]\nk = \"{{ api_key }}\"\n[variables]\napi_key = { required = true }\n";
    ends(&SpinApp::new(&text).guest("hello-p2"), 66, &["api_key"]);
}

#[test]
fn a_malformed_redis_address_is_refused_and_its_password_not_shown() {
    let text = "spin_manifest_version = 2\n[application]\nname = \"bad\"\n[application.trigger.redis]\naddress = \"http://:pa55word@nowhere\"\n\
                [[trigger.redis]]\nchannel = \"c\"\ncomponent = \"main\"\n[component.main]\nsource = \"redis-sink.wasm\"\n\
                [component.main.variables]\nlist = \"l\"\nredis_address = \"r\"\n";
    let containerd = Containerd::v2();
    let (ended, said) = containerd.run_to_end("bad", &SpinApp::new(text).guest("redis-sink"), &[]);
    assert_eq!(ended, Some(66), "{said}");
    assert!(said.to_lowercase().contains("redis") && !said.contains("pa55word"), "{said}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let containerd = Containerd::v2();
    let listen = format!("SPIN_HTTP_LISTEN_ADDR={address}");
    let (ended, said) = containerd.run_to_end("bad", &SpinApp::http("hello-p2", ""), &["--env", &listen]);
    assert_eq!(ended, Some(67), "{said}");
    assert!(said.contains(&address), "{said}");
}

#[test]
fn a_limit_that_cannot_be_read_is_named_with_what_is_expected() {
    let containerd = Containerd::v2();
    let app = SpinApp::http("hello-p2", "");
    let (ended, said) = containerd.run_to_end("bad", &app, &["--env", "SPIN_HTTP_MAX_CONNECTIONS=many"]);
    assert_eq!(ended, Some(66), "{said}");
    assert!(said.contains("SPIN_HTTP_MAX_CONNECTIONS") && said.contains("a number from 1 to"), "{said}");
}

#[test]
fn the_sentence_is_in_the_termination_log_too() {
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let mount = format!("type=bind,src={},dst=/dev/termination-log,options=rbind:rw", log.path().display());
    let containerd = Containerd::v2();
    let app = SpinApp::new(&manifest("nowhere.wasm"));
    containerd.run_to_end("bad", &app, &["--mount", &mount]);
    let text = std::fs::read_to_string(log.path()).expect("it can be read");
    assert!(text.contains("nowhere.wasm"), "{text:?}");
}

#[test]
fn text_of_an_app_begins_no_line_in_a_log() {
    let text = manifest("hello-p2.wasm").replace("/...", "/\\nforged line\\u001b[2J");
    let (containerd, app) = (Containerd::v2(), SpinApp::new(&text).guest("hello-p2"));
    let (ended, said) = containerd.run_to_end("bad", &app, &[]);
    assert_eq!(ended, Some(64), "{said}");
    wait_for("the sentence in containerd's log", 10, || holds(containerd.log().contains("forged line")));
    for log in [said, containerd.log()] {
        let mut lines = log.lines().filter(|line| line.contains("forged line"));
        assert!(lines.all(|line| line.contains("is malformed")) && !log.contains('\u{1b}'), "{log:?}");
    }
}
