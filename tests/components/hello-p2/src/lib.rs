//! Answers every request with a greeting: the smallest HTTP component of WASI 0.2.
use spin_sdk::http::{IntoResponse, Request, Response};
use spin_sdk::http_component;

#[http_component]
fn hello(_request: Request) -> impl IntoResponse {
    Response::builder().status(200).header("content-type", "text/plain").body("hello").build()
}
