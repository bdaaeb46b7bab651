//! The locked app of an artifact.

use serde_json::Value;
use spin_app::retain::retain_components;
use spin_app::{LockedApp, variables};

use super::{assert_same, json, refused};

/// A locked app that is accepted is the same once it was written and read, has only triggers with components that exist, and is sound with any one of
/// its components alone.
pub(super) fn check(input: &[u8]) -> bool {
    let app = match LockedApp::parse(input) {
        Ok(app) => app,
        Err(error) => return refused(&error),
    };
    let written = json(&app);
    let read = LockedApp::parse(&written).expect("what was written is a locked app");
    assert_same(&json(&read), &written);
    assert_travels(&written);
    for trigger in &app.triggers {
        assert!(trigger.component_ids().all(|id| app.component(id).is_some()), "a trigger without its component");
    }
    for component in &app.components {
        variables::templates(component).expect("templates of an accepted app are well formed");
    }
    retain_first(app);
    true
}

/// The app is read within the plan, where it is nested deeper than alone.
pub(super) fn assert_travels(app: &[u8]) {
    let plan = [b"[[[[[[[[".as_slice(), app, b"]]]]]]]]"].concat();
    serde_json::from_slice::<Value>(&plan).expect("an app can be read within other JSON");
}

fn retain_first(mut app: LockedApp) {
    let Some(id) = app.components.first().map(|component| component.id.clone()) else { return };
    if retain_components(&mut app, &[&id]).is_ok() {
        app.check().expect("what is left of a sound app is sound");
        assert_eq!(app.components.len(), 1);
    }
}
