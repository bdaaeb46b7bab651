//! Names that lead to addresses which may not be connected to.

use std::io::{BufRead, BufReader, PipeReader};

use harness::Redis;
use harness::wait::patience;
use spin_runtime::output::Stdio;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::fixture::{App, Http};
use crate::sockets::server;

const GUESTS: [&str; 2] = ["outbound", "outbound-p3"];

/// An app that may connect to `allowed`, with what the operator blocks, and its stderr.
async fn blocking(guest: &str, allowed: &str, blocked: &[&str]) -> (Http, PipeReader) {
    let (stderr, to_stderr) = std::io::pipe().unwrap();
    let stdout = to_stderr.try_clone().unwrap();
    let config = format!("[outbound_networking]\nblock_networks = {blocked:?}");
    let mut app = App::new(guest).allow(allowed).config(&config);
    app.inputs.stdio = Some(Stdio::to(stdout.into(), to_stderr.into()));
    (app.http().await, stderr)
}

/// The next line on stderr.
pub async fn line(stderr: PipeReader) -> String {
    let read = spawn_blocking(move || {
        let mut line = String::new();
        BufReader::new(stderr).read_line(&mut line).unwrap();
        line
    });
    timeout(patience(5), read).await.expect("a line on stderr").unwrap()
}

#[tokio::test]
async fn a_host_whose_addresses_are_all_blocked_is_not_connected_to() {
    let address = server().await;
    let port = address.rsplit_once(':').unwrap().1;
    for guest in GUESTS {
        for (host, blocked) in [
            ("localhost", &["private"][..]),
            ("localhost", &["127.0.0.0/8", "::1/128"]),
            ("127.0.0.1", &["127.0.0.1/32"]),
            ("2130706433", &["127.0.0.0/8"]),
            ("0x7f.1", &["127.0.0.0/8"]),
            ("0.0.0.0", &["127.0.0.0/8"]),
            ("[::ffff:127.0.0.1]", &["127.0.0.0/8"]),
        ] {
            let (http, stderr) = blocking(guest, "http://*:*", blocked).await;
            let answer = http.ask("POST", &format!("/fetch?http://{host}:{port}/"), "").await;
            assert_eq!(answer.status, 502, "{guest} {host}");
            assert!(answer.text().to_lowercase().contains("prohibited"), "{guest} {host}: {answer:?}");
            let (line, host) = (line(stderr).await, host.trim_matches(['[', ']']));
            assert!(line.contains(&format!("an address of {host:?}, is blocked")), "{guest}: {line}");
        }
    }
}

#[tokio::test]
async fn the_addresses_of_a_host_that_are_not_blocked_are_connected_to() {
    let address = server().await;
    let port = address.rsplit_once(':').unwrap().1;
    for guest in GUESTS {
        for blocked in [&[][..], &["10.0.0.0/8"], &["::1/128"]] {
            let (http, _stderr) = blocking(guest, "http://localhost:*", blocked).await;
            let answer = http.ask("POST", &format!("/fetch?http://localhost:{port}/"), "").await;
            assert_eq!((answer.status, answer.text().as_str()), (200, "GET / HTTP/1.1"), "{guest} {blocked:?}");
        }
    }
}

#[tokio::test]
async fn a_redis_at_a_blocked_address_is_not_connected_to() {
    let redis = Redis::start();
    for guest in GUESTS {
        for (blocked, status) in [(&["private"][..], 502), (&["10.0.0.0/8"], 200)] {
            for host in ["localhost", "127.0.0.1", "0x7f.1"] {
                let (http, stderr) = blocking(guest, "redis://*:*", blocked).await;
                let answer = http.ask("POST", &format!("/redis?redis://{host}:{}", redis.port()), "x").await;
                assert_eq!(answer.status, status, "{guest} {host}: {answer:?}");
                if status == 502 {
                    let line = line(stderr).await;
                    assert!(line.contains(&format!("127.0.0.1, an address of {host:?}, is blocked")), "{line}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_socket_is_not_connected_to_a_blocked_address() {
    let address = server().await;
    for guest in GUESTS {
        for (blocked, status) in [(&["127.0.0.0/8"][..], 502), (&["private"], 502), (&["10.0.0.0/8"], 200)] {
            let (http, stderr) = blocking(guest, "*://*:*", blocked).await;
            let answer = http.ask("POST", &format!("/tcp?{address}"), "hello").await;
            assert_eq!(answer.status, status, "{guest} {blocked:?}");
            if status == 502 {
                let line = line(stderr).await;
                assert!(line.contains("127.0.0.1, an address of \"127.0.0.1\", is blocked"), "{line}");
            }
        }
    }
}

#[tokio::test]
async fn a_link_local_address_is_connected_to_only_where_it_is_named() {
    for guest in GUESTS {
        // Without a scope, connecting to the address fails at once where it is allowed.
        for (allowed, prohibited) in [("http://*:*", true), ("http://[::]/0:*", true), ("http://[fe80::1]:*", false)] {
            let (http, _stderr) = blocking(guest, allowed, &[]).await;
            let answer = http.ask("POST", "/fetch?http://[fe80::1]:81/", "").await;
            assert_eq!(answer.text().to_lowercase().contains("prohibited"), prohibited, "{guest} {allowed}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn the_operators_own_redis_may_be_at_a_blocked_address() {
    let redis = Redis::start();
    let store = format!("[key_value_store.orders]\ntype = \"redis\"\nurl = {:?}", redis.address());
    let config = format!("{store}\n[outbound_networking]\nblock_networks = [\"private\"]");
    let http = App::new("kv").grant("key_value_stores", &["orders"]).config(&config).http().await;
    assert!(http.ask("PUT", "/key?orders", "value").await.status < 300);
    assert_eq!(redis.cli(&["get", "key"]), "value");
}
