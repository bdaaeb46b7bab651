use proptest::prelude::*;

use super::*;

fn router(routes: &[&'static str]) -> Router<&'static str> {
    let mut router = Router::new();
    for route in routes {
        router.add(route, *route).expect(route);
    }
    router
}

/// Each path beside the route that must answer it, "" where none does.
fn check(router: &Router<&'static str>, table: &[(&str, &str)]) {
    for (path, expected) in table {
        assert_eq!(router.find(path).map_or("", |found| found.route.target), *expected, "{path}");
    }
}

#[test]
fn exact_routes_match_only_themselves() {
    let router = router(&["/foo", "/foo/bar", "/"]);
    let table = [("/foo", "/foo"), ("/foo/bar", "/foo/bar"), ("/", "/"), ("/fo", ""), ("/foobar", ""), ("/foo/bar/x", "")];
    check(&router, &table);
}

#[test]
fn slashes_at_the_ends_do_not_matter() {
    let router = router(&["foo", "/bar/", "/deep/..."]);
    check(&router, &[("/foo", "foo"), ("/foo/", "foo"), ("//foo//", "foo"), ("/bar", "/bar/"), ("/deep/", "/deep/...")]);
}

#[test]
fn slashes_within_do_matter() {
    check(&router(&["/a/b"]), &[("/a/b", "/a/b"), ("/a//b", "")]);
}

#[test]
fn the_longest_wildcard_wins_whatever_the_order() {
    let table = [("/one/two/three/4", "/one/two/three/..."), ("/one/two/x", "/one/two/..."), ("/one", "/one/..."), ("/", "")];
    check(&router(&["/one/...", "/one/two/...", "/one/two/three/..."]), &table);
    check(&router(&["/one/two/three/...", "/one/two/...", "/one/..."]), &table);
}

#[test]
fn text_beats_parameter_beats_wildcard() {
    let router = router(&["/...", "/:id", "/me", "/:id/posts", "/me/..."]);
    let table = [("/me", "/me"), ("/you", "/:id"), ("/you/posts", "/:id/posts"), ("/me/posts", "/me/..."), ("/a/b/c", "/...")];
    check(&router, &table);
}

#[test]
fn a_dead_end_falls_back_to_the_next_best() {
    let router = router(&["/a/b/c", "/a/:x/d", "/:y/b/e"]);
    check(&router, &[("/a/b/c", "/a/b/c"), ("/a/b/d", "/a/:x/d"), ("/a/b/e", "/:y/b/e"), ("/a/b/f", "")]);
}

#[test]
fn parameters_take_whole_segments_and_forget_dead_ends() {
    let router = router(&["/:a/x/:b", "/:c/..."]);
    let found = router.find("/1/x/2").expect("matches");
    assert_eq!((found.captures, found.rest), (vec!["1", "2"], None));
    let found = router.find("/1/x/2/3").expect("matches");
    assert_eq!((found.captures, found.rest), (vec!["1"], Some("x/2/3")));
}

#[test]
fn a_parameter_ends_at_a_dot_that_the_route_names() {
    let router = router(&["/:name.json", "/:name", "/report.:format"]);
    let table = [("/a.json", "/:name.json"), ("/a.xml", "/:name"), ("/report.pdf", "/report.:format"), ("/report.", "/:name")];
    check(&router, &table);
    assert_eq!(router.find("/a.json").expect("matches").captures, ["a"]);
}

#[test]
fn the_last_of_equal_routes_wins_and_the_loser_is_told() {
    let mut router = Router::new();
    assert!(router.add("/foo/...", 1).expect("valid").is_none());
    assert_eq!(router.add("/foo/*", 2).expect("valid").map(|loser| loser.target), Some(1));
    assert_eq!(router.add("/foo", 3).expect("valid").map(|loser| loser.target), None);
    assert_eq!(router.find("/foo/bar").map(|found| found.route.target), Some(2));
}

#[test]
fn path_info_is_what_the_wildcard_took() {
    let wild = router(&["/test/...", "/...", "/plain"]);
    let table = [
        ("/test", ""),
        ("/test/", "/"),
        ("/test/hello", "/hello"),
        ("/test/hello/", "/hello/"),
        ("/1/2/3", "/1/2/3"),
        ("/", "/"),
        ("/plain", ""),
        ("/plain/", ""),
    ];
    for (path, expected) in table {
        assert_eq!(wild.find(path).expect(path).path_info(path), expected, "{path}");
    }
}

#[test]
fn the_guest_is_told_the_route_in_three_forms() {
    let router = router(&["base/:path_segment/...", "/star/*", "/"]);
    let route = router.find("/base/x").expect("matches").route;
    let told = [&route.raw, &route.matched, &route.prefix].map(|value| value.to_str().expect("ascii"));
    assert_eq!(told, ["base/:path_segment/...", "/base/:path_segment/...", "base/:path_segment"]);
    assert_eq!(route.parameters, ["spin-path-match-path-segment"]);
    assert_eq!(router.find("/star").expect("matches").route.prefix, "/star/*");
    assert_eq!(router.find("/").expect("matches").route.matched, "");
}

#[test]
fn ten_thousand_routes_cost_no_more_than_the_path_is_long() {
    let mut router = Router::new();
    for index in 0..10_000 {
        router.add(&format!("/api/v{index}/items/:id"), index).expect("valid");
    }
    // Each level's choice is one hash lookup: the tree is as deep as the longest route, not as the table.
    assert_eq!(router.nodes.iter().map(|node| node.mixed.len()).sum::<usize>(), 0);
    assert_eq!(router.find("/api/v9999/items/7").map(|found| found.route.target), Some(9_999));
    assert!(router.find("/api/v10000/items/7").is_none());
}

proptest! {
    #[test]
    fn no_route_and_no_path_makes_the_router_panic(routes in prop::collection::vec("[/a:.*é]{0,12}", 0..8), path in "\\PC{0,24}|[/a.]{0,16}") {
        let mut router = Router::new();
        for route in &routes {
            let _ = router.add(route, ());
        }
        if let Some(found) = router.find(&path) {
            prop_assert_eq!(found.captures.len(), found.route.parameters.len());
            let _ = found.path_info(&path);
        }
    }

    #[test]
    fn a_wildcard_at_the_root_answers_every_path(routes in prop::collection::vec("(/[ab]|/:x){1,4}", 0..8), path in "(/[abc]{0,2}){0,6}") {
        let mut router = Router::new();
        for route in routes.iter().map(String::as_str).chain(["/..."]) {
            router.add(route, ()).expect("valid");
        }
        prop_assert!(router.find(&path).is_some());
    }
}
