//! The guest `vars` again, on `spin:variables@3.0.0`.
use spin_sdk::http::{IntoResponse, Request, StatusCode};
use spin_sdk::http_service;
use spin_sdk::variables::{self, Error};

#[http_service]
async fn vars(request: Request) -> impl IntoResponse {
    match variables::get(request.uri().path().trim_start_matches('/')).await {
        Ok(value) => (StatusCode::OK, value),
        Err(Error::Undefined(reason)) => (StatusCode::NOT_FOUND, reason),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:?}")),
    }
}
