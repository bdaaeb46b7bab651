//! Routes of the HTTP trigger.

use spin_trigger_http::Router;

/// Stands for whatever a parameter or a wildcard takes.
const TAKEN: &str = "p";
/// Routes of one input that are checked each: each is compared with all others.
const MAX_CHECKED: usize = 200;

/// The last line is a path, the others are routes. Each route that is accepted matches the path that is made of it, also beside all others; whatever
/// matches has a capture for each parameter.
pub(super) fn check(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let (routes, path) = text.rsplit_once('\n').unwrap_or((text, ""));
    let mut all = Router::new();
    let accepted: Vec<&str> = routes.split('\n').filter(|route| all.add(route, ()).is_ok()).collect();
    for route in accepted.iter().take(MAX_CHECKED) {
        check_alone(route);
        let own_path = path_of(route);
        assert!(all.find(&own_path).is_some(), "no route for {own_path:?}");
    }
    if let Some(found) = all.find(path) {
        assert_eq!(found.captures.len(), found.route.parameters.len());
        assert!(found.captures.iter().all(|capture| path.contains(capture)));
        assert!(found.path_info(path).len() <= path.len() + 1);
    }
    !accepted.is_empty()
}

fn check_alone(route: &str) {
    let mut router = Router::new();
    router.add(route, ()).expect("it was accepted beside others");
    let path = path_of(route);
    let found = router.find(&path).unwrap_or_else(|| panic!("{route:?} does not match {path:?}"));
    assert_eq!(found.captures.len(), found.route.parameters.len());
    assert!(found.captures.iter().all(|capture| *capture == TAKEN), "{:?}", found.captures);
    assert!(found.rest.is_none_or(|rest| rest == TAKEN), "{:?}", found.rest);
}

/// The route with something in the place of each parameter and of the wildcard.
fn path_of(route: &str) -> String {
    let mut path = String::new();
    for segment in route.split('/').filter(|segment| !segment.is_empty()) {
        path.push('/');
        if matches!(segment, "..." | "*") {
            path.push_str(TAKEN);
            continue;
        }
        let parts: Vec<&str> = segment.split('.').map(|part| if part.starts_with(':') { TAKEN } else { part }).collect();
        path.push_str(&parts.join("."));
    }
    path
}
