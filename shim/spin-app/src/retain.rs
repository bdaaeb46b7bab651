//! Running only some of an app's components (`SPIN_COMPONENTS_TO_RETAIN`).

use crate::{Error, LockedApp, outbound::AllowedHost};

/// The ids in a list separated by commas; blanks around them and empty entries don't count.
pub fn component_ids(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|id| !id.is_empty())
}

/// Leaves only the named components, and the triggers that run one of them. A component that is left may not call one by name that isn't.
pub fn retain_components(app: &mut LockedApp, ids: &[impl AsRef<str>]) -> Result<(), Error> {
    let kept = |id: &str| ids.iter().any(|kept| kept.as_ref() == id);
    if let Some(unknown) = ids.iter().find(|id| app.component(id.as_ref()).is_none()) {
        return Err(Error::UnknownComponent {
            place: "the list of components to retain".to_owned(),
            id: unknown.as_ref().to_owned(),
        });
    }
    for component in app.components.iter().filter(|component| kept(&component.id)) {
        let called = component.allowed_outbound_hosts().into_iter().filter_map(|entry| called_component(&entry));
        if let Some(left_out) = called.into_iter().find(|id| !kept(id)) {
            let reason = format!(
                "it calls component {left_out:?} (`allowed_outbound_hosts`), which is not among the components to retain"
            );
            return Err(Error::Invalid { place: format!("component {:?}", component.id), reason });
        }
    }
    app.components.retain(|component| kept(&component.id));
    app.triggers.retain(|trigger| trigger.component().is_some() && trigger.component_ids().all(kept));
    Ok(())
}

/// Of an entry whose variables aren't resolved yet, nothing is known.
fn called_component(entry: &str) -> Option<String> {
    AllowedHost::parse(entry).ok()?.chained_component().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock_manifest;

    const APP: &str = r#"
        spin_manifest_version = 2
        application.name = "shop"
        [[trigger.http]]
        route = "/a"
        component = "front"
        [[trigger.http]]
        route = "/b"
        component = "back"
        [[trigger.http]]
        route = "/c"
        static_response = { status_code = 404 }
        [component.front]
        source = "front.wasm"
        allowed_outbound_hosts = ["http://back.spin.internal", "http://{{ other }}.spin.internal"]
        [component.back]
        source = "back.wasm"
        allowed_outbound_hosts = ["http://*.spin.internal"]
        [variables]
        other = { default = "front" }
    "#;

    fn retained(ids: &[&str]) -> Result<LockedApp, String> {
        let mut app = lock_manifest(APP).unwrap().app;
        retain_components(&mut app, ids).map_err(|error| error.to_string())?;
        Ok(app)
    }

    #[test]
    fn lists_are_read_leniently() {
        assert_eq!(component_ids(" a,b ,,c").collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(component_ids("").count(), 0);
    }

    #[test]
    fn only_the_named_components_and_their_triggers_are_left() {
        let app = retained(&["back"]).unwrap();
        assert_eq!(app.components.len(), 1);
        assert_eq!(app.triggers.len(), 1);
        assert_eq!(app.triggers[0].component(), Some("back"));
    }

    #[test]
    fn an_unknown_component_is_named() {
        let error = retained(&["back", "side"]).unwrap_err();
        assert_eq!(error, "the list of components to retain refers to component \"side\", which does not exist");
    }

    #[test]
    fn a_component_that_calls_one_left_out_is_refused() {
        let error = retained(&["front"]).unwrap_err();
        assert!(error.contains("component \"front\"") && error.contains("calls component \"back\""), "{error}");
        assert_eq!(retained(&["front", "back"]).unwrap().components.len(), 2);
    }
}
