//! Answers every request with a greeting: the smallest HTTP component of WASI 0.3.
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn hello(_request: Request) -> impl IntoResponse {
    "hello"
}
