//! Answers `GET /NAME` with the value of the variable NAME, 404 where the host says there is none.
use spin_sdk::http::{Request, Response};
use spin_sdk::http_component;
use spin_sdk::variables::{self, Error};

#[http_component]
fn vars(request: Request) -> Response {
    match variables::get(request.path().trim_start_matches('/')) {
        Ok(value) => Response::new(200, value),
        Err(Error::Undefined(reason)) => Response::new(404, reason),
        Err(error) => Response::new(500, format!("{error:?}")),
    }
}
