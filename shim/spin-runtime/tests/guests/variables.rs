use crate::fixture::App;

#[tokio::test]
async fn a_variable_has_its_value_and_an_unknown_one_has_none() {
    for guest in ["vars", "vars-p3"] {
        let mut app = App::new(guest).variable("greeting", Some("default")).variable("name", None);
        app.inputs.env.push(("SPIN_VARIABLE_NAME".to_owned(), "world".to_owned()));
        let http = app.http().await;
        assert_eq!(http.get("/greeting").await.text(), "default", "{guest}");
        assert_eq!(http.get("/name").await.text(), "world", "{guest}");
        assert_eq!(http.get("/other").await.status, 404, "{guest}");
    }
}

#[tokio::test]
async fn settings_of_triggers_are_resolved() {
    let runtime = App::new("vars").variable("host", Some("cache")).build().await.unwrap();
    assert_eq!(runtime.resolve("redis://{{ host }}:6379").await.unwrap(), "redis://cache:6379");
    assert_eq!(runtime.resolve("{{ other }}").await.unwrap_err().exit_code(), 64);
}
