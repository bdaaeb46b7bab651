//! Says hello, and prints it, from a core module on WASI preview 1.
use spin_sdk::http::{Request, Response};
use spin_sdk::http_component;

#[http_component]
fn hello(request: Request) -> Response {
    println!("hello to {}", request.path());
    Response::new(200, "hello from a core module")
}
