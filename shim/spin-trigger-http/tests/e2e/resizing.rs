//! Servers whose share of the processors changes while they run.

use std::time::Duration;

use harness::wait::until;
use serde_json::json;
use spin_trigger_http::Capacity;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::client::{read_head, read_to_end};
use crate::fixture::{bind, inputs, settings};

/// Whether a thread of this process has the name.
fn has_thread(name: &str) -> bool {
    let threads = std::fs::read_dir("/proc/self/task").expect("proc is mounted").flatten();
    let mut names = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("comm")).ok());
    names.any(|found| found.trim() == name)
}

/// Asks on a connection; whether the answer says that the server closes it.
async fn is_last(stream: &mut TcpStream) -> bool {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("the server reads");
    let (head, mut body) = (read_head(stream).await, [0; 5]);
    stream.read_exact(&mut body).await.expect("the body");
    assert!(head.starts_with("HTTP/1.1 200") && body == *b"hello", "{head}");
    head.to_ascii_lowercase().contains("connection: close")
}

#[tokio::test]
async fn workers_are_added_and_rest_while_the_server_runs() {
    let inputs = inputs(&["hello-p3"], json!([{"route": "/...", "component": "hello-p3"}]));
    let server = bind(inputs, settings()).await.expect("bound");
    let (address, resizer, drain) = (server.local_addr(), server.resizer(), CancellationToken::new());
    let running = tokio::spawn(server.run(drain.clone(), Duration::from_secs(10)));
    let resize = |workers| resizer.resize(Capacity { workers, busy_poll: Duration::ZERO });
    let connect = async || TcpStream::connect(address).await.expect("the server accepts");

    let mut first = connect().await;
    // No other server of this program has so many workers.
    assert!(!is_last(&mut first).await && !has_thread("http-8"));
    resize(9);
    until("nine workers", Duration::from_secs(10), async || has_thread("http-8")).await;
    // Each goes to the worker that has the fewest.
    let mut others = Vec::new();
    for _ in 0..8 {
        let mut other = connect().await;
        assert!(!is_last(&mut other).await);
        others.push(other);
    }
    resize(1);
    let mut last = others.pop().expect("there are eight");
    until("the last worker to rest", Duration::from_secs(10), async || is_last(&mut last).await).await;
    for mut other in others {
        assert!(is_last(&mut other).await, "its worker rests");
        assert_eq!(read_to_end(other).await.raw, "");
    }
    assert!(!is_last(&mut first).await && !is_last(&mut connect().await).await);
    drain.cancel();
    assert_eq!(running.await.expect("no panic").abandoned, 0);
}
