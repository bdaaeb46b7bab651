use std::time::{Duration, Instant};

use harness::Redis;
use harness::wait::{holds, until, wait_for};

use spin_runtime::output::Stdio;

use crate::fixture::App;
use crate::networks::line;

const GUESTS: [&str; 2] = ["outbound", "outbound-p3"];

#[tokio::test]
async fn an_allowed_server_is_reached() {
    let redis = Redis::start();
    for guest in GUESTS {
        let http = App::new(guest).allow(&redis.address()).http().await;
        let answer = http.ask("POST", &format!("/redis?{}", redis.address()), guest).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, guest));
    }
}

#[tokio::test]
async fn a_server_that_is_not_allowed_is_not_reached() {
    let redis = Redis::start();
    for guest in GUESTS {
        let http = App::new(guest).allow("redis://127.0.0.1:1").http().await;
        assert_eq!(http.ask("POST", &format!("/redis?{}", redis.address()), "x").await.status, 502, "{guest}");
    }
    assert_eq!(redis.cli(&["exists", "outbound"]), "0");
}

#[tokio::test]
async fn entry_with_tls_does_not_allow_connections_without_it() {
    let redis = Redis::start();
    for guest in GUESTS {
        let (stderr, to_stderr) = std::io::pipe().unwrap();
        let mut app = App::new(guest).allow(&redis.address().replace("redis:", "rediss:"));
        app.inputs.stdio = Some(Stdio::to(to_stderr.try_clone().unwrap().into(), to_stderr.into()));
        let http = app.http().await;
        assert_eq!(http.ask("POST", &format!("/redis?{}", redis.address()), "x").await.status, 502, "{guest}");
        let hint = format!("add 'allowed_outbound_hosts = [\"{}\"]'", redis.address());
        let said = line(stderr).await;
        assert!(said.contains(&hint), "{said}");
    }
}

#[tokio::test]
async fn a_server_that_comes_back_is_reached_again() {
    let redis = Redis::start();
    let http = App::new("outbound").allow("redis://127.0.0.1:*").http().await;
    let path = format!("/redis?{}", redis.address());
    assert_eq!(http.ask("POST", &path, "1").await.status, 200);
    let port = redis.stop();
    assert_eq!(http.ask("POST", &path, "2").await.status, 502);
    let _redis = Redis::start_on(port);
    until("the server's answer", Duration::from_secs(5), async || http.ask("POST", &path, "3").await.status == 200).await;
}

#[tokio::test]
async fn the_first_command_after_a_restart_of_the_server_is_not_lost() {
    for guest in GUESTS {
        let redis = Redis::start();
        let http = App::new(guest).allow("redis://127.0.0.1:*").http().await;
        let path = format!("/redis?{}", redis.address());
        assert_eq!(http.ask("POST", &path, "1").await.status, 200);
        let asked = Instant::now();
        let _redis = Redis::start_on(redis.stop());
        // A connection used less than 10 ms ago is not tried before it is used again, and an empty Redis can be back sooner.
        wait_for("the connection's trust to end", 1, || holds(asked.elapsed() > Duration::from_millis(20)));
        assert_eq!(http.ask("POST", &path, "2").await.status, 200);
    }
}

#[tokio::test]
async fn a_server_with_a_certificate_of_a_private_authority_is_trusted_by_ssl_cert_file() {
    let redis = Redis::start_tls();
    let store = format!("[key_value_store.default]\ntype = \"redis\"\nurl = {:?}", redis.address());
    for trusted in [true, false] {
        let app = |guest: &str| {
            let mut app = App::new(guest).config(&store);
            if trusted {
                app.inputs.env.push(("SSL_CERT_FILE".to_owned(), redis.authority().to_str().unwrap().to_owned()));
            }
            app
        };
        for guest in GUESTS {
            for scheme in ["redis", "rediss"] {
                let http = app(guest).allow(&format!("{scheme}://localhost:*")).http().await;
                let answer = http.ask("POST", &format!("/redis?{}", redis.address()), guest).await;
                assert_eq!(answer.status == 200, trusted, "{guest}, {scheme}: {answer:?}");
            }
        }
        let http = app("kv").grant("key_value_stores", &["default"]).http().await;
        assert_eq!(http.ask("PUT", "/key", "value").await.status < 300, trusted);
    }
    assert_eq!(redis.cli(&["get", "key"]), "value");
}

#[tokio::test]
async fn what_is_no_address_is_an_error() {
    let http = App::new("outbound").allow("*://*:*").http().await;
    for address in ["", "nonsense", "redis://", "http://127.0.0.1", "redis+unix://localhost/run/x.sock"] {
        assert_eq!(http.ask("POST", &format!("/redis?{address}"), "x").await.status, 502, "{address}");
    }
}

#[tokio::test]
async fn a_command_that_changes_the_connection_changes_no_other_one() {
    let redis = Redis::start();
    let http = App::new("outbound").allow("redis://127.0.0.1:*").http().await;
    assert_eq!(http.ask("POST", &format!("/redis/select?{}", redis.address()), "x").await.status, 200);
    assert_eq!(redis.cli(&["-n", "0", "keys", "*"]), "other");
    assert_eq!(redis.cli(&["-n", "5", "keys", "*"]), "selected");
}
