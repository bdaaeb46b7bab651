use std::fs::File;
use std::io::Write;

use spin_runtime::{Code, cache::Cache};

use crate::fixture::{App, compiled, wasm};

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn cached(guest: &str, dir: &std::path::Path) -> File {
    let cache = Cache::open(dir).unwrap();
    cache.find_or(DIGEST, || compiled(&wasm(guest))).unwrap()
}

#[tokio::test]
async fn precompiled_code_runs_from_the_cache() {
    for guest in ["hello-p2", "hello-p3", "core-module"] {
        let dir = tempfile::tempdir().unwrap();
        let code = cached(guest, &dir.path().join("cache"));
        assert_eq!(App::of(Code::Precompiled(code)).http().await.get("/").await.status, 200, "{guest}");
    }
}

#[tokio::test]
async fn code_of_another_engine_is_refused() {
    let mut file = tempfile::tempfile().unwrap();
    let code = spin_runtime::wasmtime::Engine::default().precompile_component(&wasm("hello-p2")).unwrap();
    file.write_all(&code).unwrap();
    let error = App::of(Code::Precompiled(file)).build().await.err().unwrap();
    assert_eq!(error.exit_code(), 70);
    assert!(error.to_string().contains("can't be loaded"), "{error}");
}
