//! HTTP/2 in clear text.

use std::convert::Infallible;

use ::http::{Request, Response};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

use crate::fixture::App;
use crate::sockets;

/// A server that speaks HTTP/2 alone, in clear text. It answers with the authority and with the `host` that it
/// was asked for.
async fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = service_fn(|request: Request<Incoming>| async move {
                let text = format!("{:?} {:?}", request.uri().authority(), request.headers().get("host"));
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
            });
            tokio::spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer));
        }
    });
    address
}

#[tokio::test]
async fn a_named_server_is_asked_by_http2_in_clear_text() {
    let (plain2, plain1) = (server().await, sockets::server().await);
    for guest in ["outbound", "outbound-p3"] {
        for named in [true, false] {
            let mut app = App::new(guest).allow("http://*:*");
            if named {
                app.inputs.h2c_servers = format!("grpc:50051,{plain2}").parse().unwrap();
            }
            let http = app.http().await;
            let answer = http.ask("POST", &format!("/fetch?http://{plain2}/"), "").await;
            let expected = format!("Some({plain2}) None");
            assert_eq!((answer.status == 200, answer.text() == expected), (named, named), "{guest}: {answer:?}");
            let answer = http.ask("POST", &format!("/fetch?http://{plain1}/"), "").await;
            assert_eq!(answer.text(), "GET / HTTP/1.1", "{guest}");
        }
    }
}
