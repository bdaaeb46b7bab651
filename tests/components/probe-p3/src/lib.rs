//! Tells which request of its instance it answers, counted from 1, and of how many at once, unless the query asks for something else:
//! `?sleep=MS` before that, `?after=MS` of work after it, `?fail=MS` for a trap after that time, `?stream=BYTES`, `?loop`.
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use spin_sdk::wasip3::{clocks::monotonic_clock::wait_for, spawn};

static REQUESTS: AtomicUsize = AtomicUsize::new(0);
static AT_ONCE: AtomicUsize = AtomicUsize::new(0);

#[http_service]
async fn probe(request: Request) -> impl IntoResponse {
    let query = request.uri().query().unwrap_or_default();
    let (what, value) = query.split_once('=').unwrap_or((query, "0"));
    let value: u64 = value.parse().expect("a number after the equals sign");
    let count = REQUESTS.fetch_add(1, Relaxed) + 1;
    let at_once = AT_ONCE.fetch_add(1, Relaxed) + 1;
    match what {
        "sleep" => milliseconds(value).await,
        "after" => spawn(milliseconds(value)),
        "stream" => return "x".repeat(value as usize),
        "fail" => {
            milliseconds(value).await;
            panic!("asked to trap");
        }
        "loop" => loop {
            black_box(())
        },
        _ => {}
    }
    AT_ONCE.fetch_sub(1, Relaxed);
    format!("{count} {at_once}")
}

async fn milliseconds(count: u64) {
    wait_for(count * 1_000_000).await;
}
