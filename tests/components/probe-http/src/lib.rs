//! Echoes the request as JSON, unless the query asks for something else: `?trap`, `?loop`, `?exit`,
//! `?sleep=MS`, `?allocate=BYTES`, `?stream=BYTES`, `?stdout=TEXT`, `?stderr=TEXT`, `?env`,
//! `?count` (of its instance's requests), `?read=PATH`, `?list=PATH`, `?write=PATH` (with the request's body).
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::{fs, hint::black_box, io, thread::sleep, time::Duration};

use futures::SinkExt;
use serde_json::{Value, json};
use spin_sdk::http::conversions::TryFromIncomingRequest;
use spin_sdk::http::{Headers, IncomingRequest, OutgoingResponse, Request, ResponseOutparam};
use spin_sdk::http_component;

static REQUESTS: AtomicUsize = AtomicUsize::new(0);

#[http_component]
async fn probe(request: IncomingRequest, out: ResponseOutparam) {
    REQUESTS.fetch_add(1, Relaxed);
    let request = Request::try_from_incoming_request(request).await;
    let request = request.expect("the body can be read to its end");
    let (what, value) = request.query().split_once('=').unwrap_or((request.query(), ""));
    if what == "stream" {
        return stream(number(value), out).await;
    }
    let (status, body) = match act(what, value, &request) {
        Ok(body) => (200, body),
        Err(error) => (500, error.to_string().into_bytes()),
    };
    let response = OutgoingResponse::new(Headers::new());
    response.set_status_code(status).expect("a status of three digits");
    out.set_with_body(response, body).await.expect("the host takes the answer");
}

fn act(what: &str, value: &str, request: &Request) -> io::Result<Vec<u8>> {
    match what {
        "trap" => panic!("asked to trap"),
        "loop" => loop {
            black_box(())
        },
        "exit" => std::process::exit(1),
        "sleep" => {
            eprintln!("sleeping");
            sleep(Duration::from_millis(number(value) as u64));
        }
        "allocate" => return Ok(black_box(vec![1u8; number(value)]).len().to_string().into()),
        "count" => return Ok(REQUESTS.load(Relaxed).to_string().into()),
        "stdout" => println!("{value}"),
        "stderr" => eprintln!("{value}"),
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
