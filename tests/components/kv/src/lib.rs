//! A key-value store over HTTP: `GET`, `PUT`, `HEAD` and `DELETE` on `/KEY`, `GET /` lists the keys.
//! The query, where there is one, names the store.
use spin_sdk::http::{Method, Request, Response};
use spin_sdk::http_component;
use spin_sdk::key_value::{Error, Store};

#[http_component]
fn kv(request: Request) -> Response {
    answer(&request).unwrap_or_else(|error| Response::new(500, format!("{error:?}")))
}

fn answer(request: &Request) -> Result<Response, Error> {
    let label = Some(request.query()).filter(|q| !q.is_empty());
    let store = Store::open(label.unwrap_or("default"))?;
    let key = request.path().trim_start_matches('/');
    Ok(match request.method() {
        Method::Get if key.is_empty() => {
            let mut keys = store.get_keys()?;
            keys.sort();
            Response::new(200, keys.join("\n"))
        }
        Method::Get => match store.get(key)? {
            Some(value) => Response::new(200, value),
            None => Response::new(404, ()),
        },
        Method::Head if store.exists(key)? => Response::new(200, ()),
        Method::Head => Response::new(404, ()),
        Method::Put => {
            store.set(key, request.body())?;
            Response::new(204, ())
        }
        Method::Delete => {
            store.delete(key)?;
            Response::new(204, ())
        }
        _ => Response::new(405, ()),
    })
}
