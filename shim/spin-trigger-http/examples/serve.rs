//! temporary measurement
use std::sync::Arc; use std::time::Duration;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let workers: usize = a[2].parse().unwrap();
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    rt.block_on(async {
        let wasm = std::fs::read(&a[1]).unwrap();
        let app = spin_app::LockedApp::parse(serde_json::json!({"spin_lock_version":0,"metadata":{"name":"x"},"triggers":[{"id":"t","trigger_type":"http","trigger_config":{"route":"/...","component":"c"}}],"components":[{"id":"c","source":{"content_type":"application/wasm","source":"x.wasm"}}]}).to_string().as_bytes()).unwrap();
        let mut inputs = spin_runtime::Inputs::new(app);
        inputs.code.insert("c".into(), spin_runtime::Code::Wasm(wasm));
        let runtime: Arc<spin_runtime::Runtime> = spin_runtime::Runtime::build(inputs).await.unwrap();
        let settings = spin_trigger_http::Settings { listen: "127.0.0.1:7777".parse().unwrap(), workers, ..Default::default() };
        let server = spin_trigger_http::Server::bind(&runtime, settings).await.unwrap();
        println!("ready");
        server.run(tokio_util::sync::CancellationToken::new(), Duration::from_secs(1)).await;
    });
}
