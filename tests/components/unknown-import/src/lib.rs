//! A component that wants an interface which no host has.
use spin_sdk::http::{Request, Response};
use spin_sdk::http_component;

wit_bindgen::generate!({
    inline: "
        package test:delphi@1.0.0;
        interface oracle { ask: func(question: string) -> string; }
        world pilgrim { import oracle; }
    ",
});

#[http_component]
fn ask(request: Request) -> Response {
    Response::new(200, test::delphi::oracle::ask(request.path()))
}
