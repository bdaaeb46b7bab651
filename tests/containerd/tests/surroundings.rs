//! What a pod gives its app: its environment.

use containerd_tests::container;
use harness::http::{Answer, get};
use harness::shim::{Bundle, program};
use harness::{Containerd, SpinApp, wait_for};

/// An app of the guest `vars` with the variables `data` and `required`, of which only the first has a default value.
fn vars() -> SpinApp {
    SpinApp::http(
        "vars",
        "variables = { data = \"{{ data }}\", required = \"{{ required }}\" }\n[variables]\n\
                           data = { default = \"\" }\nrequired = { required = true }",
    )
}

/// The answer to `GET url`, waited for until the app listens.
fn answer(url: &str) -> Answer {
    wait_for(url, 60, || get(url))
}

#[test]
fn environment_beyond_the_limits_of_execve_reaches_an_app() {
    let containerd = Containerd::v2();
    let address = container(&containerd, "large", &vars().plain("test.local/large:1"), "/");
    // The kernel's limits for an execve are 128 KiB for a variable, and a quarter of the stack's limit for all of them.
    let fillers = (0..64).map(|number| format!("FILLER_{number}={}", "y".repeat(100_000)));
    let variables = [format!("SPIN_VARIABLE_DATA={}", "x".repeat(200_000)), "SPIN_VARIABLE_REQUIRED=there".to_owned()];
    let bundle = Bundle::new(&containerd, "large").edited(|spec| {
        let env = spec["process"]["env"].as_array_mut().expect("there is an environment");
        env.extend(variables.into_iter().chain(fillers).map(Into::into));
    });
    let _task = bundle.run(&program());
    assert_eq!(answer(&format!("http://{address}/data")).body, "x".repeat(200_000));
    assert_eq!(answer(&format!("http://{address}/required")).body, "there");
}

#[test]
fn last_value_of_an_environment_variable_counts() {
    let containerd = Containerd::v2();
    let address = container(&containerd, "twice", &vars().plain("test.local/twice:1"), "/");
    let bundle = Bundle::new(&containerd, "twice").edited(|spec| {
        let env = spec["process"]["env"].as_array_mut().expect("there is an environment");
        env.extend(["SPIN_VARIABLE_REQUIRED=first", "SPIN_VARIABLE_REQUIRED=last"].map(Into::into));
    });
    let _task = bundle.run(&program());
    assert_eq!(answer(&format!("http://{address}/required")).body, "last");
}
