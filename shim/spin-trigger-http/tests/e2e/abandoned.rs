//! Work ends when its client leaves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use harness::wait::until;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use spin_runtime::Inputs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::get;
use crate::fixture::{PATIENCE, inputs, run, serve, settings};

/// An app that isn't blocked answers within this time, on a busy machine too.
const SOON: Duration = Duration::from_secs(5);

/// An app whose one guest answers every route, with at most `instances` of them at work.
fn limited(guest: &str, instances: u32) -> Inputs {
    let mut inputs = inputs(&[guest], json!([{"route": "/...", "component": guest}]));
    inputs.engine.max_instances = instances;
    inputs
}

/// Connections that have sent a request each.
async fn clients(address: SocketAddr, count: usize, path: &str) -> Vec<TcpStream> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(address).await.expect("the server accepts");
        let text = format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n");
        stream.write_all(text.as_bytes()).await.expect("the server reads");
        clients.push(stream);
    }
    clients
}

/// Asserts that a request is answered within [`SOON`].
async fn assert_answers(address: SocketAddr, path: &str) {
    let answer = tokio::time::timeout(SOON, get(address, path)).await;
    assert_eq!(answer.expect("an answer soon").status, 200);
}

/// A server that accepts connections and never sends anything.
struct Silent {
    address: SocketAddr,
    open: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Silent {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let silent = Self { address: listener.local_addr().expect("bound"), open: Arc::default(), most: Arc::default() };
        let (open, most) = (silent.open.clone(), silent.most.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let open = open.clone();
                most.fetch_max(open.fetch_add(1, SeqCst) + 1, SeqCst);
                tokio::spawn(async move {
                    let _until_it_is_closed = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                    open.fetch_sub(1, SeqCst);
                });
            }
        });
        silent
    }

    async fn has(&self, connections: usize) {
        let what = format!("{connections} connections to the silent server");
        until(&what, SOON, async || self.open.load(SeqCst) == connections).await;
    }
}

#[tokio::test]
async fn outbound_connections_close_when_the_client_leaves() {
    for guest in ["outbound", "outbound-p3"] {
        let (silent, running) = (Silent::start().await, serve(&[guest], json!([{"route": "/...", "component": guest}])).await);
        let clients = clients(running.address, 3, &format!("/fetch?http://{}/", silent.address)).await;
        silent.has(3).await;
        drop(clients);
        silent.has(0).await;
        running.end().await;
    }
}

#[tokio::test]
async fn requests_within_the_app_end_when_the_client_leaves() {
    let silent = Silent::start().await;
    let triggers = json!([{"route": "/2/...", "component": "outbound"}, {"route": "/fetch", "component": "outbound-p3"}]);
    let running = serve(&["outbound", "outbound-p3"], triggers).await;
    let path =
        format!("/fetch?http://outbound.spin.internal/fetch?http://outbound-p3.spin.internal/fetch?http://{}/", silent.address);
    let client = clients(running.address, 1, &path).await;
    silent.has(1).await;
    drop(client);
    silent.has(0).await;
    running.end().await;
}

/// The share of the time in which this thread, which runs client and server, was on a processor.
async fn busy() -> f64 {
    let on_processor = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("time goes on");
    let (before, begun) = (on_processor(), Instant::now());
    tokio::time::sleep(Duration::from_millis(200)).await;
    (on_processor() - before).as_secs_f64() / begun.elapsed().as_secs_f64()
}

#[tokio::test]
async fn a_computing_guest_ends_soon_after_its_client_left() {
    for (guest, path) in
        [("probe-http", "/?loop"), ("probe-p3", "/?loop"), ("probe-http", "/?begin=loop"), ("probe-p3", "/?begin=0")]
    {
        let running = run(limited(guest, 1000), settings()).await;
        let looping = clients(running.address, 8, path).await;
        until("the guests loop", PATIENCE, async || busy().await > 0.3).await;
        for client in &looping {
            client.set_zero_linger().expect("a reset, not a farewell");
        }
        drop(looping);
        let left = Instant::now();
        until("the processor is quiet", SOON, async || busy().await < 0.1).await;
        assert!(left.elapsed() < SOON, "{guest} {path}");
        running.end().await;
    }
}

#[tokio::test]
async fn abandoned_requests_keep_no_instance_at_work() {
    for guest in ["probe-http", "probe-p3"] {
        let running = run(limited(guest, 20), settings()).await;
        for count in [60, 20, 20, 20] {
            let clients = clients(running.address, count, "/?sleep=10000000").await;
            assert_eq!(get(running.address, "/.well-known/spin/health").await.status, 200);
            drop(clients);
        }
        assert_answers(running.address, "/?count").await;
        running.end().await;
    }
}

#[tokio::test]
async fn a_guest_ends_when_its_client_leaves_during_the_answer() {
    for (guest, path) in [("probe-http", "/?begin=sleep"), ("probe-p3", "/?begin=100000000")] {
        let running = run(limited(guest, 1), settings()).await;
        for _ in 0..3 {
            let mut client = clients(running.address, 1, path).await.remove(0);
            let mut begun = String::new();
            while !begun.contains("the beginning") {
                let mut buffer = [0; 1000];
                let read = tokio::time::timeout(SOON, client.read(&mut buffer)).await.expect("an answer soon");
                begun.push_str(&String::from_utf8_lossy(&buffer[..read.expect("the connection holds")]));
            }
        }
        assert_answers(running.address, "/?count").await;
        running.end().await;
    }
}

#[tokio::test]
async fn abandoned_work_counts_towards_the_instance_limit() {
    for guest in ["outbound", "outbound-p3"] {
        let (silent, running) = (Silent::start().await, run(limited(guest, 2), settings()).await);
        let path = format!("/fetch?http://{}/", silent.address);
        for _ in 0..5 {
            let clients = clients(running.address, 6, &path).await;
            silent.has(2).await;
            drop(clients);
        }
        silent.has(0).await;
        assert_eq!(silent.most.load(SeqCst), 2, "{guest}");
        running.end().await;
    }
}

#[tokio::test]
async fn an_app_answers_after_thousands_of_abandoned_requests() {
    let running = run(limited("probe-http", 1000), settings()).await;
    for _ in 0..26 {
        let clients = clients(running.address, 100, "/?sleep=10000000").await;
        assert_answers(running.address, "/?count").await;
        drop(clients);
    }
    assert_answers(running.address, "/?count").await;
    running.end().await;
}

#[tokio::test]
async fn a_reset_http2_stream_ends_only_its_own_work() {
    let (silent, running) =
        (Silent::start().await, serve(&["outbound"], json!([{"route": "/...", "component": "outbound"}])).await);
    let stream = hyper_util::rt::TokioIo::new(TcpStream::connect(running.address).await.expect("the server accepts"));
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    let mut ask = |path: &str| {
        let request = http::Request::get(format!("http://t{path}")).body(http_body_util::Empty::<bytes::Bytes>::new());
        tokio::spawn(sender.send_request(request.expect("a request")))
    };
    let asked = ask(&format!("/fetch?http://{}/", silent.address));
    silent.has(1).await;
    asked.abort();
    silent.has(0).await;
    assert_eq!(ask("/nothing").await.expect("no panic").expect("an answer").status(), 502);
    running.end().await;
}
