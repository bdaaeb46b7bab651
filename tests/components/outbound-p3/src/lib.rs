//! The guest `outbound` again, on WASI 0.3 and `spin:redis@3.0.0`.
use bytes::Bytes;
use spin_sdk::http::{FullBody, IntoResponse, Request, Response, StatusCode, body::IncomingBodyExt, get, post};
use spin_sdk::{http_service, redis::Connection};

mod tcp;

#[http_service]
async fn outbound(request: Request) -> impl IntoResponse {
    let (head, body) = request.into_parts();
    let target = head.uri.query().unwrap_or_default();
    let body = body.bytes().await.unwrap_or_default();
    let answer = match head.uri.path() {
        "/fetch" => fetch(target).await,
        "/post" => answer(post(target, body).await).await,
        "/again" => fetch("http://self/again").await,
        "/redis" => set_and_get(target, body).await.map(ok),
        "/tcp" => tcp::talk(target, body.into()).await.map(ok),
        _ => Err("no such way out".to_owned()),
    };
    let (status, body) = answer.unwrap_or_else(|e| (StatusCode::BAD_GATEWAY, e.into()));
    (status, FullBody::new(body))
}

fn ok(body: Vec<u8>) -> (StatusCode, Bytes) {
    (StatusCode::OK, body.into())
}

async fn fetch(url: &str) -> Result<(StatusCode, Bytes), String> {
    answer(get(url).await).await
}

async fn answer(response: Result<Response, impl std::fmt::Debug>) -> Result<(StatusCode, Bytes), String> {
    let response = response.map_err(|e| format!("{e:?}"))?;
    let status = response.status();
    let body = response.into_body().bytes().await.map_err(|e| format!("{e:?}"))?;
    Ok((status, body))
}

async fn set_and_get(address: &str, value: Bytes) -> Result<Vec<u8>, String> {
    let redis = Connection::open(address).await.map_err(|e| format!("{e:?}"))?;
    redis.set("outbound", value).await.map_err(|e| format!("{e:?}"))?;
    let value = redis.get("outbound").await.map_err(|e| format!("{e:?}"))?;
    value.ok_or_else(|| "nothing stored".to_owned())
}
