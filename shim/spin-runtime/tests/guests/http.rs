use std::io::{BufRead, BufReader, PipeReader, Read};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use http_body_util::BodyExt;
use spin_runtime::output::Stdio;
use spin_runtime::{EngineSettings, HttpError, HttpOptions};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::fixture::{App, Http, request};

const SECOND: Option<Duration> = Some(Duration::from_secs(1));

#[tokio::test]
async fn components_of_both_wasi_versions_answer() {
    for guest in ["hello-p2", "hello-p3", "core-module"] {
        let answer = App::new(guest).http().await.get("/").await;
        assert_eq!(answer.status, 200, "{guest}: {answer:?}");
        assert!(answer.text().to_lowercase().contains("hello"), "{guest}: {answer:?}");
    }
}

#[tokio::test]
async fn a_guest_sees_the_request_as_it_is() {
    let http = App::new("probe-http").http().await;
    let echo: serde_json::Value = serde_json::from_slice(&http.ask("PATCH", "/a/b", "body").await.body).unwrap();
    assert_eq!((&echo["method"], &echo["path"], &echo["body"]), (&"PATCH".into(), &"/a/b".into(), &"body".into()));
    assert!(echo["headers"].as_array().unwrap().contains(&serde_json::json!(["host", "example.com"])), "{echo}");
}

#[tokio::test]
async fn a_trap_and_an_exit_fail_the_request_alone() {
    let http = App::new("probe-http").http().await;
    assert_eq!(http.try_ask("GET", "/?trap", "").await.unwrap_err(), HttpError::Failed);
    assert_eq!(http.try_ask("GET", "/?exit", "").await.unwrap_err(), HttpError::Failed);
    assert_eq!(http.get("/").await.status, 200);
}

#[tokio::test]
async fn an_endless_loop_is_ended_and_others_are_served_meanwhile() {
    for guest in ["probe-http", "probe-p3"] {
        let http = App::new(guest).http_with(HttpOptions { timeout: SECOND, reuse: None }).await;
        let (looping, other) = tokio::join!(http.try_ask("GET", "/?loop", ""), http.try_ask("GET", "/?count", ""));
        assert_eq!(looping.unwrap_err(), HttpError::TimedOut, "{guest}");
        assert_eq!(other.unwrap().status, 200, "{guest}");
    }
}

#[tokio::test]
async fn a_guest_that_sleeps_too_long_is_ended() {
    let http = App::new("probe-http").http_with(HttpOptions { timeout: SECOND, reuse: None }).await;
    assert_eq!(http.try_ask("GET", "/?sleep=20000", "").await.unwrap_err(), HttpError::TimedOut);
}

#[tokio::test]
async fn an_answer_streams() {
    let http = App::new("probe-http").http().await;
    let response = http.handler.handle(request("GET", "/?stream=10000000", "")).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len(), 10_000_000);
}

#[tokio::test]
async fn memory_is_bounded_for_the_whole_instance() {
    let http = App::new("probe-http").config("max_instance_memory = 20000000").http().await;
    assert_eq!(http.get("/?allocate=10000000").await.text(), "10000000");
    assert_eq!(http.try_ask("GET", "/?allocate=30000000", "").await.unwrap_err(), HttpError::Failed);
}

#[tokio::test]
async fn the_environment_is_the_manifests_alone() {
    let mut app = App::new("probe-http");
    app.component().env.insert("NAME".to_owned(), "value".to_owned());
    app.inputs.env.push(("SECRET".to_owned(), "of the process".to_owned()));
    assert_eq!(app.http().await.get("/?env").await.text(), "NAME=value\n");
}

#[tokio::test]
async fn files_are_there_and_read_only() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "content").unwrap();
    let mut app = App::new("probe-http");
    app.inputs.files.insert(crate::fixture::ID.to_owned(), dir.path().to_owned());
    let http = app.http().await;
    assert_eq!(http.get("/?read=/file").await.text(), "content");
    assert_eq!(http.get("/?list=/").await.text(), "file");
    assert_eq!(http.ask("POST", "/?write=/file", "other").await.status, 500);
    assert_eq!(http.get("/?read=/../../../etc/passwd").await.status, 500);
}

#[tokio::test]
async fn more_requests_than_instances_wait_for_their_turn() {
    for guest in ["hello-p2", "hello-p3"] {
        let mut app = App::new(guest);
        app.inputs.engine = EngineSettings { max_instances: 2, ..EngineSettings::default() };
        let http = app.http().await;
        let answers = join_all((0..100).map(|_| http.get("/"))).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{guest}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_goes_on_one_thread_has_gone_before_another_thread_has_its_place() {
    let mut app = App::new("hello-p2");
    app.inputs.engine = EngineSettings { max_instances: 1, ..EngineSettings::default() };
    let http = Arc::new(app.http().await);
    let asking = |_| {
        let http = http.clone();
        tokio::spawn(async move {
            for _ in 0..1000 {
                assert_eq!(http.get("/").await.status, 200);
            }
        })
    };
    for asked in join_all((0..8).map(asking)).await {
        asked.expect("every request is answered");
    }
}

#[tokio::test]
async fn a_request_without_a_host_is_refused() {
    let http = App::new("hello-p2").http().await;
    let mut request = request("GET", "/", "");
    request.headers_mut().clear();
    assert_eq!(http.handler.handle(request).await.unwrap_err(), HttpError::BadRequest);
}

/// An app whose guest writes to two pipes; returns their readers.
async fn piped(guest: &str) -> (Http, PipeReader, PipeReader) {
    let (stdout, to_stdout) = std::io::pipe().unwrap();
    let (stderr, to_stderr) = std::io::pipe().unwrap();
    let mut app = App::new(guest);
    app.inputs.stdio = Some(Stdio::to(to_stdout.into(), to_stderr.into()));
    (app.http().await, stdout, stderr)
}

fn read(pipe: &mut PipeReader, length: usize) -> String {
    let mut text = vec![0; length];
    pipe.read_exact(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn output_reaches_the_process() {
    let (http, mut stdout, mut stderr) = piped("probe-http").await;
    assert_eq!(http.get("/?stdout=out").await.status, 200);
    assert_eq!(http.get("/?stderr=err").await.status, 200);
    assert_eq!([read(&mut stdout, 4), read(&mut stderr, 4)], ["out\n", "err\n"]);
}

/// How many threads this process has.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[tokio::test]
async fn a_reader_that_stands_still_makes_only_guests_that_write_wait() {
    for guest in ["probe-http", "probe-p3"] {
        let (http, mut stdout, _stderr) = piped(guest).await;
        let lines = 20_000;
        let mut writing = Box::pin(http.try_ask("GET", "/?print=20000", ""));
        assert!(timeout(Duration::from_secs(1), &mut writing).await.is_err(), "{guest} wrote more than is kept");
        assert_eq!(http.get("/?count").await.status, 200, "{guest}");
        // The threads for blocking work, which key-value stores use, are free too.
        timeout(Duration::from_secs(10), spawn_blocking(|| ())).await.expect("a free thread").unwrap();
        let reading = std::thread::spawn(move || {
            let lines = BufReader::new(&mut stdout).lines().take(lines);
            lines.enumerate().all(|(number, line)| line.unwrap().starts_with(&format!("line {number}: xxx")))
        });
        assert_eq!(writing.await.unwrap().status, 200, "{guest}");
        assert!(reading.join().unwrap(), "{guest}: lines are missing or mixed");
    }
}

#[tokio::test]
async fn last_lines_of_ended_instances_are_dropped_and_counted_while_nobody_reads() {
    let (http, stdout, _stderr) = piped("probe-http").await;
    let before = threads();
    let leaving = join_all((0..600).map(|_| http.get("/?unended=5000")));
    // Fills the pipe and the queue while the other instances sleep.
    let filling = timeout(Duration::from_secs(10), http.try_ask("GET", "/?print=20000", ""));
    let (left, filled) = tokio::join!(leaving, filling);
    assert!(left.iter().all(|answer| answer.status == 200) && filled.is_err());
    assert!(threads() < before + 200, "threads wait for the reader: {before}, then {}", threads());
    // Either there was room for the last lines, or there is a line about them.
    let mut lines = BufReader::new(stdout).lines().map(Result::unwrap);
    let line = lines.find(|line| line.contains("left") || line.contains("dropped")).expect("the output goes on");
    assert!(line.starts_with("3000 bytes of output were dropped"), "{line}");
}
