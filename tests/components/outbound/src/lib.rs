//! Reaches outside. The query is the target as it stands: `/fetch?http://host/path`,
//! `/redis?redis://host:port`, `/redis/select?redis://host:port` and `/tcp?1.2.3.4:80`; the last three send the
//! request's body. `/fetch/host/path` is for clients that write queries anew. `/again` asks the app itself for `/again`,
//! `/fetch-as-other?http://host/path` names another host in the request's head. `/post?http://host/path` posts the
//! request's body, `/post-with-length?…` with a `content-length` of the guest's own.
use spin_sdk::http::{Request, Response, send};
use spin_sdk::{
    http_component,
    redis::{Connection, RedisParameter},
};

mod tcp;

#[http_component]
async fn outbound(request: Request) -> Response {
    let (target, body) = (request.query(), request.body());
    let answer = match request.path() {
        "/fetch" => fetch(target).await,
        "/again" => fetch("http://self/again").await,
        "/post" => post(target, body, false).await,
        "/post-with-length" => post(target, body, true).await,
        "/fetch-as-other" => fetch_as(target, "other.example").await,
        path if path.starts_with("/fetch/") => fetch(&path.replacen("/fetch/", "http://", 1)).await,
        "/redis" => set_and_get(target, body).map(|value| Response::new(200, value)),
        "/redis/select" => select_and_set(target, body).map(|()| Response::new(200, "")),
        "/tcp" => tcp::talk(target, body).map(|answer| Response::new(200, answer)),
        _ => Err("no such way out".to_owned()),
    };
    answer.unwrap_or_else(|reason| Response::new(502, reason))
}

async fn fetch(url: &str) -> Result<Response, String> {
    send(Request::get(url).build()).await.map_err(|e| e.to_string())
}

async fn post(url: &str, body: &[u8], with_length: bool) -> Result<Response, String> {
    let mut request = Request::post(url, body.to_vec());
    if with_length {
        request.header("content-length", body.len().to_string());
    }
    send(request.build()).await.map_err(|e| e.to_string())
}

async fn fetch_as(url: &str, host: &str) -> Result<Response, String> {
    send(Request::get(url).header("host", host).build()).await.map_err(|e| e.to_string())
}

fn set_and_get(address: &str, value: &[u8]) -> Result<Vec<u8>, String> {
    let redis = Connection::open(address).map_err(|e| format!("{e:?}"))?;
    redis.set("outbound", value).map_err(|e| format!("{e:?}"))?;
    let value = redis.get("outbound").map_err(|e| format!("{e:?}"))?;
    value.ok_or_else(|| "nothing stored".to_owned())
}

/// Selects database 5 by one connection, where it sets a key, and sets another one by a second connection.
fn select_and_set(address: &str, value: &[u8]) -> Result<(), String> {
    let open = || Connection::open(address).map_err(|e| format!("{e:?}"));
    let (selecting, other) = (open()?, open()?);
    selecting.execute("SELECT", &[RedisParameter::Int64(5)]).map_err(|e| format!("{e:?}"))?;
    selecting.set("selected", value).map_err(|e| format!("{e:?}"))?;
    other.set("other", value).map_err(|e| format!("{e:?}"))
}
