use crate::fixture::App;

#[tokio::test]
async fn scratch_python() {
    let start = std::time::Instant::now();
    let http = App::new("py-http").http().await;
    eprintln!("built {:?}", start.elapsed());
    let answer = http.get("/").await;
    eprintln!("{answer:?} {:?}", start.elapsed());
    for _ in 0..10 {
        let start = std::time::Instant::now();
        http.get("/").await;
        eprintln!("{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn scratch_old() {
    let http = App::new("old-http").allow("http://*:*").http().await;
    let answer = http.ask("POST", "/a/b", "body").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "POST http://example.com/a/b 1 body"));
    let url = crate::sockets::server().await;
    assert_eq!(http.get(&format!("/?fetch=http://{url}/x")).await.text(), "GET /x HTTP/1.1");
    assert!(http.try_ask("GET", "/?fetch=http://127.0.0.1:1/x", "").await.is_ok_and(|a| a.status == 500));
}
