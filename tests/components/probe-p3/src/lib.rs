//! Tells which request of its instance it answers, counted from 1, and of how many at once, unless the query asks for something else:
//! `?sleep=MS` before that, `?after=MS` of work after it, `?fail=MS` for a trap after that time, `?stream=BYTES`, `?loop`, `?print=LINES`,
//! `?later=MS` loops after that time.
//! `?begin=MS` sends the beginning of an answer, then sleeps for that time, and then loops; `?drip=MS` sends ten pieces, each after that time.
use std::convert::Infallible;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use futures::stream::{StreamExt, once, repeat};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use spin_sdk::http::{IntoResponse, Request, StatusCode};
use spin_sdk::http_service;
use spin_sdk::wasip3::{clocks::monotonic_clock::wait_for, spawn};

static REQUESTS: AtomicUsize = AtomicUsize::new(0);
static AT_ONCE: AtomicUsize = AtomicUsize::new(0);

type Body = UnsyncBoxBody<Bytes, Infallible>;

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
        "stream" => return (StatusCode::OK, whole("x".repeat(value as usize))),
        "begin" => return (StatusCode::OK, beginning(value)),
        "drip" => return (StatusCode::OK, drip(value)),
        "fail" => {
            milliseconds(value).await;
            panic!("asked to trap");
        }
        "loop" => endless(),
        "later" => {
            milliseconds(value).await;
            endless()
        }
        "print" => (0..value).for_each(|line| println!("line {line}: {}", "x".repeat(100))),
        _ => {}
    }
    AT_ONCE.fetch_sub(1, Relaxed);
    (StatusCode::OK, whole(format!("{count} {at_once}")))
}

fn whole(text: String) -> Body {
    http_body_util::Full::new(Bytes::from(text)).boxed_unsync()
}

fn beginning(sleep: u64) -> Body {
    let first = once(async { Ok(Frame::data(Bytes::from_static(b"the beginning"))) });
    let rest = once(async move {
        milliseconds(sleep).await;
        endless()
    });
    StreamBody::new(first.chain(rest)).boxed_unsync()
}

fn drip(pause: u64) -> Body {
    let pieces = repeat(()).take(10).then(move |()| async move {
        milliseconds(pause).await;
        Ok(Frame::data(Bytes::from_static(b"drop")))
    });
    StreamBody::new(pieces).boxed_unsync()
}

fn endless<Never>() -> Never {
    loop {
        black_box(())
    }
}

async fn milliseconds(count: u64) {
    wait_for(count * 1_000_000).await;
}
