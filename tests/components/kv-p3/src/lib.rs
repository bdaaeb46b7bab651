//! The guest `kv` again, on `spin:key-value@3.0.0`, whose functions are asynchronous.
use spin_sdk::http::{IntoResponse, Method, Request, StatusCode, body::IncomingBodyExt};
use spin_sdk::http_service;
use spin_sdk::key_value::{Error, Store};

#[http_service]
async fn kv(request: Request) -> impl IntoResponse {
    let (status, body) =
        answer(request).await.unwrap_or_else(|error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:?}").into()));
    (status, spin_sdk::http::FullBody::new(bytes::Bytes::from(body)))
}

async fn answer(request: Request) -> Result<(StatusCode, Vec<u8>), Error> {
    let (head, body) = request.into_parts();
    let store = Store::open(head.uri.query().unwrap_or("default")).await?;
    let key = head.uri.path().trim_start_matches('/');
    let found = |is| if is { StatusCode::OK } else { StatusCode::NOT_FOUND };
    Ok(match head.method {
        Method::GET if key.is_empty() => {
            let mut keys = store.get_keys().await.collect().await?;
            keys.sort();
            (StatusCode::OK, keys.join("\n").into())
        }
        Method::GET => {
            let value = store.get(key).await?;
            (found(value.is_some()), value.unwrap_or_default())
        }
        Method::HEAD => (found(store.exists(key).await?), Vec::new()),
        Method::PUT => {
            let body = body.bytes().await.map_err(|e| Error::Other(e.to_string()))?;
            store.set(key, body).await?;
            (StatusCode::NO_CONTENT, Vec::new())
        }
        Method::DELETE => {
            store.delete(key).await?;
            (StatusCode::NO_CONTENT, Vec::new())
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, Vec::new()),
    })
}
