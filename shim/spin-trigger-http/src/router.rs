//! Which route answers a path.
//!
//! A tree with one level per segment: a lookup walks the path once, whatever the number of routes. At each level text comes
//! before a parameter and a parameter before a wildcard; where the better branch leads nowhere the next one is tried.

use std::collections::HashMap;
use std::fmt;

use http::{HeaderName, HeaderValue};

use crate::route::{Mixed, Pattern, PatternError, Segment};

/// A route and what it leads to.
#[derive(Debug)]
pub struct Route<T> {
    /// The route as the guest is told of it: absolute, without a slash at its end.
    pub matched: HeaderValue,
    /// The route as written.
    pub raw: HeaderValue,
    /// As written, without a trailing `/...`.
    pub prefix: HeaderValue,
    /// The header of each parameter, in the order of the captures.
    pub parameters: Vec<HeaderName>,
    /// What the route leads to.
    pub target: T,
}

/// A path that found its route.
pub struct Match<'router, 'path, T> {
    /// The route.
    pub route: &'router Route<T>,
    /// What each parameter took from the path.
    pub captures: Vec<&'path str>,
    /// What the trailing wildcard took, without the slash before it; none where the route has no wildcard.
    pub rest: Option<&'path str>,
}

/// All routes of an app.
pub struct Router<T> {
    nodes: Vec<Node>,
    routes: Vec<Route<T>>,
}

#[derive(Default)]
struct Node {
    text: HashMap<Box<str>, usize>,
    mixed: Vec<(Mixed, usize)>,
    parameter: Option<usize>,
    /// Index of the route that ends here.
    end: Option<usize>,
    /// Index of the route whose wildcard begins here.
    wildcard: Option<usize>,
}

impl<T> Default for Router<T> {
    fn default() -> Self {
        Self { nodes: vec![Node::default()], routes: Vec::new() }
    }
}

impl<T> Router<T> {
    /// Without a route.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a route. Where its pattern was taken already the new one wins, and the loser is returned.
    pub fn add(&mut self, route: &str, target: T) -> Result<Option<Route<T>>, PatternError> {
        let pattern = Pattern::parse(route)?;
        let entry = Route::new(route, &pattern, target)?;
        let mut node = 0;
        for segment in pattern.segments {
            node = self.child(node, segment);
        }
        let fresh = self.routes.len();
        let place = if pattern.wildcard { &mut self.nodes[node].wildcard } else { &mut self.nodes[node].end };
        match *place {
            Some(taken) => Ok(Some(std::mem::replace(&mut self.routes[taken], entry))),
            None => {
                *place = Some(fresh);
                self.routes.push(entry);
                Ok(None)
            }
        }
    }

    fn child(&mut self, node: usize, segment: Segment) -> usize {
        let fresh = self.nodes.len();
        let parent = &mut self.nodes[node];
        let child = match segment {
            Segment::Text(text) => *parent.text.entry(text).or_insert(fresh),
            Segment::Parameter => *parent.parameter.get_or_insert(fresh),
            Segment::Mixed(mixed) => match parent.mixed.iter().find(|(known, _)| *known == mixed) {
                Some((_, child)) => *child,
                None => {
                    parent.mixed.push((mixed, fresh));
                    parent.mixed.sort_by_key(|(mixed, _)| mixed.rank());
                    fresh
                }
            },
        };
        if child == fresh {
            self.nodes.push(Node::default());
        }
        child
    }

    /// Every route, in the order of the manifest.
    pub fn routes(&self) -> impl Iterator<Item = &Route<T>> {
        self.routes.iter()
    }

    /// The best route for a request's path; slashes at its ends don't matter.
    pub fn find<'router, 'path>(&'router self, path: &'path str) -> Option<Match<'router, 'path, T>> {
        let trimmed = path.trim_matches('/');
        let mut found = Match { route: self.routes.first()?, captures: Vec::new(), rest: None };
        self.descend(0, Some(trimmed).filter(|path| !path.is_empty()), &mut found).then_some(found)
    }

    /// Looks below `node` for the rest of the path, which is none once the path has ended.
    fn descend<'router, 'path>(
        &'router self,
        node: usize,
        rest: Option<&'path str>,
        found: &mut Match<'router, 'path, T>,
    ) -> bool {
        let node = &self.nodes[node];
        let taken = found.captures.len();
        if let Some(rest) = rest {
            let (segment, after) = match rest.split_once('/') {
                Some((segment, after)) => (segment, Some(after)),
                None => (rest, None),
            };
            if let Some(&child) = node.text.get(segment)
                && self.descend(child, after, found)
            {
                return true;
            }
            for (mixed, child) in &node.mixed {
                if mixed.matches(segment, after.is_none(), &mut found.captures) && self.descend(*child, after, found) {
                    return true;
                }
                found.captures.truncate(taken);
            }
            if let Some(child) = node.parameter {
                found.captures.push(segment);
                if self.descend(child, after, found) {
                    return true;
                }
                found.captures.truncate(taken);
            }
        } else if let Some(route) = node.end {
            found.route = &self.routes[route];
            return true;
        }
        let Some(route) = node.wildcard else { return false };
        found.route = &self.routes[route];
        found.rest = Some(rest.unwrap_or_default());
        true
    }
}

impl<T> Route<T> {
    fn new(route: &str, pattern: &Pattern, target: T) -> Result<Self, PatternError> {
        let absolute = if route.starts_with('/') { route.to_owned() } else { format!("/{route}") };
        let value = |text: &str| HeaderValue::from_str(text).map_err(|_| PatternError::ControlCharacter);
        let header = |name: &String| {
            HeaderName::from_bytes(format!("spin-path-match-{}", name.replace('_', "-")).as_bytes())
                .map_err(|_| PatternError::ParameterName(name.clone()))
        };
        Ok(Self {
            matched: value(absolute.strip_suffix('/').unwrap_or(&absolute))?,
            raw: value(route)?,
            prefix: value(route.strip_suffix("/...").unwrap_or(route))?,
            parameters: pattern.parameters.iter().map(header).collect::<Result<_, _>>()?,
            target,
        })
    }

    /// The route as `spin up` announces it, behind the server's address.
    pub fn announced(&self) -> String {
        let matched = String::from_utf8_lossy(self.matched.as_bytes());
        match matched.strip_suffix("/...").or_else(|| matched.strip_suffix("/*")) {
            Some(prefix) => format!("{prefix} (wildcard)"),
            None => matched.into_owned(),
        }
    }

    /// The route as written, for people.
    pub fn written(&self) -> impl fmt::Display {
        String::from_utf8_lossy(self.raw.as_bytes()).into_owned()
    }
}

impl<T> Match<'_, '_, T> {
    /// The part of the path that the wildcard took, as guests have always been given it: nothing for `/foo` on `/foo/...`,
    /// a slash for `/foo/`, and a slash at the end kept.
    pub fn path_info(&self, path: &str) -> String {
        match (self.rest, path.ends_with('/')) {
            (None, _) | (Some(""), false) => String::new(),
            (Some(""), true) => "/".to_owned(),
            (Some(rest), false) => format!("/{rest}"),
            (Some(rest), true) => format!("/{rest}/"),
        }
    }
}

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
