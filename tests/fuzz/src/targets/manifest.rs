//! `spin.toml`.

use spin_app::{LockedApp, ManifestApp, lock_manifest};

use super::locked_app::assert_travels;
use super::{assert_same, json, refused};

/// A manifest that is accepted makes a locked app that its own reader accepts, and that is the same once it was written and read.
pub(super) fn check(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let ManifestApp { app, files } = match lock_manifest(text) {
        Ok(locked) => locked,
        Err(error) => return refused(&error),
    };
    let written = json(&app);
    let read = LockedApp::parse(&written).expect("a locked manifest is a locked app");
    assert_same(&json(&read), &written);
    assert_travels(&written);
    assert!(files.keys().all(|id| app.component(id).is_some()), "files of a component that does not exist");
    true
}
