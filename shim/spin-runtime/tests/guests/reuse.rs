//! Instances that are used again, one request after the other and several at once. The clock of these tests moves only when all wait for it.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use harness::wait::until;
use spin_runtime::http::Reuse;
use spin_runtime::{HttpError, HttpOptions};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::Instant;

use crate::fixture::{Answer, App, Http};

const SECOND: Option<Duration> = Some(Duration::from_secs(1));

/// An app whose instances count their requests.
async fn counting(guest: &str, timeout: Option<Duration>, reuse: Option<Reuse>) -> Arc<Http> {
    Arc::new(App::new(guest).http_with(HttpOptions { timeout, reuse }).await)
}

/// Which request of its instance each of so many is, one after the other.
async fn counts(http: &Http, requests: usize) -> Vec<u32> {
    let mut counts = Vec::new();
    for _ in 0..requests {
        counts.push(http.get("/?count").await.text().split(' ').next().unwrap().parse().unwrap());
    }
    counts
}

/// Asks, and returns once the instance waits.
async fn waiting(http: &Arc<Http>, path: &'static str) -> JoinHandle<Result<Answer, HttpError>> {
    let http = http.clone();
    let asked = tokio::spawn(async move { http.try_ask("GET", path, "").await });
    settled().await;
    asked
}

/// Lets everything run that can without the clock.
async fn settled() {
    for _ in 0..20 {
        yield_now().await;
    }
}

/// Moves the clock, which must stand still, and lets everything run that was due.
async fn after(time: Duration) {
    tokio::time::advance(time).await;
    settled().await;
}

#[tokio::test]
async fn by_default_an_instance_of_wasi_03_is_used_again_and_one_of_02_is_not() {
    assert_eq!(counts(&*counting("probe-http", None, None).await, 3).await, [1, 1, 1]);
    assert_eq!(counts(&*counting("probe-p3", None, None).await, 3).await, [1, 2, 3]);
}

#[tokio::test]
async fn an_instance_is_used_as_often_as_asked_for() {
    for guest in ["probe-http", "probe-p3"] {
        let http = counting(guest, None, Some(Reuse { requests: 3, ..Reuse::default() })).await;
        assert_eq!(counts(&http, 7).await, [1, 2, 3, 1, 2, 3, 1], "{guest}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_nobody_needs_ends() {
    for guest in ["probe-http", "probe-p3"] {
        let http = counting(guest, None, Some(Reuse::default())).await;
        assert_eq!(counts(&http, 2).await, [1, 2], "{guest}");
        after(Reuse::default().idle / 2).await;
        assert_eq!(counts(&http, 1).await, [3], "{guest}");
        after(Reuse::default().idle * 2).await;
        assert_eq!(counts(&http, 1).await, [1], "{guest}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_of_wasi_03_takes_more_while_it_waits() {
    let http = counting("probe-p3", None, None).await;
    let sleeping = waiting(&http, "/?sleep=1000").await;
    assert_eq!(http.get("/").await.text(), "2 2");
    assert_eq!(sleeping.await.unwrap().unwrap().text(), "1 1");
    assert_eq!(http.get("/").await.text(), "3 1");
}

#[tokio::test(start_paused = true)]
async fn an_instance_takes_no_more_at_once_than_asked_for() {
    let http = counting("probe-p3", None, Some(Reuse { concurrent: 2, ..Reuse::default() })).await;
    let sleeping = [waiting(&http, "/?sleep=1000").await, waiting(&http, "/?sleep=1000").await];
    assert_eq!(http.get("/").await.text(), "1 1");
    for sleeping in sleeping {
        assert!(sleeping.await.unwrap().unwrap().text().ends_with(['1', '2']));
    }
}

#[tokio::test(start_paused = true)]
async fn more_instances_than_the_first_pool_has_work_at_once() {
    for guest in ["probe-http", "probe-p3"] {
        let http = counting(guest, None, Some(Reuse { concurrent: 1, ..Reuse::default() })).await;
        let began = Instant::now();
        let answers = join_all((0..200).map(|_| http.get("/?sleep=1000"))).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{guest}");
        assert!(began.elapsed() < Duration::from_secs(2), "{guest}: some waited for others");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_over_its_time_ends_alone() {
    let http = counting("probe-p3", SECOND, None).await;
    let too_long = waiting(&http, "/?sleep=20000").await;
    after(Duration::from_millis(500)).await;
    let shorter = waiting(&http, "/?sleep=900").await;
    assert_eq!(too_long.await.unwrap().unwrap_err(), HttpError::TimedOut);
    settled().await;
    assert_eq!(http.get("/").await.text(), "1 1", "an instance that may be stuck was given more");
    assert_eq!(shorter.await.unwrap().unwrap().text(), "2 2");
}

#[tokio::test(start_paused = true)]
async fn an_instance_works_on_after_its_answer_but_not_for_ever() {
    let http = counting("probe-p3", SECOND, None).await;
    assert_eq!(waiting(&http, "/?after=20000").await.await.unwrap().unwrap().text(), "1 1");
    assert_eq!(http.get("/").await.text(), "2 1");
    settled().await;
    after(Duration::from_secs(2)).await;
    assert_eq!(http.get("/").await.text(), "1 1");
}

#[tokio::test(start_paused = true)]
async fn a_trap_fails_all_that_its_instance_works_on() {
    let http = counting("probe-p3", None, None).await;
    let sleeping = waiting(&http, "/?sleep=1000").await;
    assert_eq!(http.try_ask("GET", "/?fail=0", "").await.unwrap_err(), HttpError::Failed);
    assert_eq!(sleeping.await.unwrap().unwrap_err(), HttpError::Failed);
    assert_eq!(http.get("/").await.text(), "1 1");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_an_ending_instance_was_given_is_anothers() {
    let http = counting("probe-p3", SECOND, None).await;
    // Both clocks ring at once, this one first: the instance that is about to be given nothing more is given one request more.
    let mut rings = Box::pin(tokio::time::sleep(Duration::from_secs(1)));
    assert!(futures::poll!(&mut rings).is_pending());
    let too_long = waiting(&http, "/?sleep=20000").await;
    rings.await;
    assert_eq!(http.get("/").await.text(), "1 1");
    assert_eq!(too_long.await.unwrap().unwrap_err(), HttpError::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn an_instance_ends_when_all_its_clients_have_left() {
    let http = counting("probe-p3", None, None).await;
    let waiting = [waiting(&http, "/?sleep=100000").await, waiting(&http, "/?sleep=100000").await];
    waiting.iter().for_each(JoinHandle::abort);
    settled().await;
    assert_eq!(http.get("/").await.text(), "1 1");
    assert_eq!(http.runtime.at_work(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_instance_with_an_abandoned_request_finishes_the_others_and_takes_no_more() {
    let http = counting("probe-p3", SECOND, None).await;
    let (left, stays) = (waiting(&http, "/?sleep=100000").await, waiting(&http, "/?sleep=900").await);
    left.abort();
    settled().await;
    assert_eq!(http.get("/").await.text(), "1 1");
    assert_eq!(stays.await.unwrap().unwrap().text(), "2 2");
    settled().await;
    assert_eq!(http.runtime.at_work(), 1, "work after an answer may go on");
    after(Duration::from_secs(2)).await;
    assert_eq!(http.runtime.at_work(), 0);
}

#[tokio::test]
async fn an_instance_that_computes_after_a_client_left_ends_soon() {
    let http = counting("probe-p3", None, None).await;
    let asked = http.clone();
    let left = tokio::spawn(async move { asked.try_ask("GET", "/?later=300", "").await });
    settled().await;
    assert_eq!(http.get("/").await.text(), "2 2");
    left.abort();
    let at_work = async || http.runtime.at_work() == 0;
    until("the instance to end", Duration::from_secs(20), at_work).await;
}
