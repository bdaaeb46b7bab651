//! An app of one component, and ways to ask it.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
pub use harness::app::wasm;
use http_body_util::{BodyExt, Full};
use serde_json::json;
use sha2::{Digest, Sha256};
use spin_app::{LockedApp, LockedComponent, LockedVariable};
use spin_runtime::cache::Cache;
use spin_runtime::http::WasiBody;
use spin_runtime::precompile::precompile;
use spin_runtime::{Code, HttpError, HttpHandler, HttpOptions, Inputs, MessageHandler, MessageOptions, Runtime, RuntimeError};

/// The component's id in every app.
pub const ID: &str = "guest";

/// An app in the making.
pub struct App {
    pub inputs: Inputs,
}

/// The guest's code, compiled once for all tests and all runs of them.
fn code(guest: &str) -> File {
    let cache = Cache::open(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests")).unwrap();
    let wasm = wasm(guest);
    let digest = format!("sha256:{:x}", Sha256::digest(&wasm));
    cache.find_or(&digest, || compiled(&wasm)).unwrap()
}

/// A file of precompiled code.
pub fn compiled(wasm: &[u8]) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(&precompile(wasm).unwrap())?;
    Ok(file)
}

impl App {
    pub fn new(guest: &str) -> Self {
        Self::of(Code::Precompiled(code(guest)))
    }

    pub fn of(code: Code) -> Self {
        let component = LockedComponent { id: ID.to_owned(), ..LockedComponent::default() };
        let mut inputs = Inputs::new(LockedApp { components: vec![component], ..LockedApp::default() });
        inputs.code.insert(ID.to_owned(), code);
        Self { inputs }
    }

    pub fn component(&mut self) -> &mut LockedComponent {
        &mut self.inputs.app.components[0]
    }

    /// Lists something in the component's metadata.
    pub fn grant(mut self, what: &str, entries: &[&str]) -> Self {
        self.component().metadata.insert(what.to_owned(), json!(entries));
        self
    }

    pub fn allow(self, host: &str) -> Self {
        self.grant("allowed_outbound_hosts", &[host])
    }

    /// A variable of the app, which the component has under the same name.
    pub fn variable(mut self, name: &str, value: Option<&str>) -> Self {
        let variable = LockedVariable { default: value.map(str::to_owned), ..LockedVariable::default() };
        self.inputs.app.variables.insert(name.to_owned(), variable);
        self.component().config.insert(name.to_owned(), format!("{{{{ {name} }}}}"));
        self
    }

    pub fn config(mut self, text: &str) -> Self {
        self.inputs.runtime_config = Some(text.to_owned());
        self
    }

    pub async fn build(self) -> Result<Arc<Runtime>, RuntimeError> {
        Runtime::build(self.inputs).await
    }

    pub async fn http(self) -> Http {
        self.http_with(HttpOptions::default()).await
    }

    pub async fn http_with(self, options: HttpOptions) -> Http {
        let runtime = self.build().await.unwrap();
        let handler = runtime.component(ID).unwrap().http_handler(options).unwrap();
        Http { runtime, handler }
    }

    pub async fn messages(self, timeout: Option<Duration>) -> MessageHandler {
        let runtime = self.build().await.unwrap();
        runtime.component(ID).unwrap().message_handler(MessageOptions { timeout }).unwrap()
    }
}

/// An app that answers.
pub struct Http {
    pub runtime: Arc<Runtime>,
    pub handler: HttpHandler,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub fn request(method: &str, path: &str, body: &str) -> ::http::Request<WasiBody> {
    let body = Full::new(Bytes::from(body.to_owned())).map_err(|never| match never {}).boxed_unsync();
    let request = ::http::Request::builder().method(method).uri(path).header("host", "example.com");
    request.body(body).unwrap()
}

impl Http {
    pub async fn try_ask(&self, method: &str, path: &str, body: &str) -> Result<Answer, HttpError> {
        let response = self.handler.handle(request(method, path, body)).await?;
        let status = response.status().as_u16();
        Ok(Answer { status, body: response.into_body().collect().await.unwrap().to_bytes() })
    }

    pub async fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        self.try_ask(method, path, body).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }
}
