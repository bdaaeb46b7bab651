//! Echoes the request as JSON, unless the query asks for something else: `?trap`, `?loop`, `?exit`,
//! `?sleep=MS`, `?allocate=BYTES`, `?stream=BYTES`, `?stdout=TEXT`, `?stderr=TEXT`, `?env`, `?print=LINES`,
//! `?count` (of its instance's requests), `?read=PATH`, `?list=PATH`, `?write=PATH` (with the request's body).
//! `?begin=sleep` and `?begin=loop` send the beginning of an answer, and never its end; `?after=loop` loops once all of it is sent.
//! `?unended=MS` writes the beginning of a line, and sleeps.
//! `?early=MS` sleeps before it reads the body; `?drip=MS` sends ten pieces, each after that time.
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::{fs, hint::black_box, thread::sleep, time::Duration};

use futures::SinkExt;
use serde_json::{Value, json};
use spin_sdk::http::conversions::TryFromIncomingRequest;
use spin_sdk::http::{Headers, IncomingRequest, OutgoingResponse, Request, ResponseOutparam};
use spin_sdk::http_component;

static REQUESTS: AtomicUsize = AtomicUsize::new(0);

#[http_component]
async fn probe(request: IncomingRequest, out: ResponseOutparam) {
    REQUESTS.fetch_add(1, Relaxed);
    if let Some((_, time)) = request.path_with_query().as_deref().and_then(|path| path.split_once("?early=")) {
        sleep(Duration::from_millis(number(time) as u64));
    }
    let request = Request::try_from_incoming_request(request).await;
    let request = request.expect("the body can be read to its end");
    let (what, value) = request.query().split_once('=').unwrap_or((request.query(), ""));
    match what {
        "stream" => return stream(number(value), out).await,
        "begin" => return begin(value, out).await,
        "drip" => return drip(number(value), out).await,
        _ => {}
    }
    let (status, body) = match act(what, value, &request) {
        Ok(body) => (200, body),
        Err(error) => (500, error.to_string().into_bytes()),
    };
    let response = OutgoingResponse::new(Headers::new());
    response.set_status_code(status).expect("a status of three digits");
    out.set_with_body(response, body).await.expect("the host takes the answer");
    if (what, value) == ("after", "loop") {
        go_on("loop");
    }
}

fn act(what: &str, value: &str, request: &Request) -> io::Result<Vec<u8>> {
    match what {
        "trap" => panic!("asked to trap"),
        "loop" => go_on("loop"),
        "exit" => std::process::exit(1),
        "sleep" => {
            eprintln!("sleeping");
            sleep(Duration::from_millis(number(value) as u64));
        }
        "allocate" => return Ok(black_box(vec![1u8; number(value)]).len().to_string().into()),
        "count" => return Ok(REQUESTS.load(Relaxed).to_string().into()),
        "stdout" => println!("{value}"),
        "unended" => {
            print!("left");
            io::stdout().flush()?;
            sleep(Duration::from_millis(number(value) as u64));
        }
        "stderr" => eprintln!("{value}"),
        "print" => (0..number(value)).for_each(|line| println!("line {line}: {}", "x".repeat(100))),
        "env" => return Ok(std::env::vars().map(|(k, v)| format!("{k}={v}\n")).collect::<String>().into()),
        "read" => return fs::read(value),
        "list" => return Ok(list(value)?.join("\n").into()),
        "write" => fs::write(value, request.body())?,
        _ => return Ok(echo(request).to_string().into()),
    }
    Ok(Vec::new())
}

fn number(text: &str) -> usize {
    text.parse().expect("a number after the equals sign")
}

fn list(path: &str) -> io::Result<Vec<String>> {
    let names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

fn echo(request: &Request) -> Value {
    let headers = request.headers().map(|(name, value)| json!([name, value.as_str()]));
    json!({
        "method": request.method().to_string(),
        "uri": request.uri(),
        "path": request.path(),
        "headers": headers.collect::<Vec<_>>(),
        "body": String::from_utf8_lossy(request.body()),
    })
}

/// Sends the beginning of an answer.
async fn begin(then: &str, out: ResponseOutparam) {
    let response = OutgoingResponse::new(Headers::new());
    let mut body = response.take_body();
    out.set(response);
    body.send(b"the beginning".to_vec()).await.expect("the host takes it");
    go_on(then);
}

async fn drip(pause: usize, out: ResponseOutparam) {
    let response = OutgoingResponse::new(Headers::new());
    let mut body = response.take_body();
    out.set(response);
    for _ in 0..10 {
        sleep(Duration::from_millis(pause as u64));
        body.send(b"drop".to_vec()).await.expect("the host takes it");
    }
}

/// Loops or sleeps for ever.
fn go_on(how: &str) {
    loop {
        match how {
            "loop" => black_box(()),
            _ => sleep(Duration::from_secs(3600)),
        }
    }
}

/// Streams `total` bytes in pieces, so that the host's backpressure shows.
async fn stream(total: usize, out: ResponseOutparam) {
    let response = OutgoingResponse::new(Headers::new());
    let mut body = response.take_body();
    out.set(response);
    let pieces = (0..total).step_by(65536).map(|at| (total - at).min(65536));
    for piece in pieces {
        if body.send(vec![b'x'; piece]).await.is_err() {
            return eprintln!("the reader went away");
        }
    }
}
