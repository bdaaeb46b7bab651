//! A route as a manifest writes it, taken apart.
//!
//! `/orders/:id/...` is three segments and a trailing wildcard. Slashes at both ends carry no meaning, a missing first one is
//! added, and a parameter may share its segment with text that begins at a dot, as in `/:name.json`.

/// Far more than any route has; it bounds the depth of a lookup.
const MAX_SEGMENTS: usize = 256;

/// Why a text is no route.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum PatternError {
    /// `...` or `*` before the end.
    #[error("a wildcard (/... or /*) must be the last segment, on its own")]
    Wildcard,
    /// A `:` with nothing behind it.
    #[error("a parameter needs a name, as in /:id")]
    NamelessParameter,
    /// The name becomes a part of a header's name.
    #[error("parameter ':{0}' has a name that is not allowed in a header")]
    ParameterName(String),
    /// The route goes on and on.
    #[error("it has more than {MAX_SEGMENTS} segments")]
    TooLong,
    /// Bytes that no header, and so no request's path, can carry.
    #[error("it has a control character")]
    ControlCharacter,
}

/// One segment of a route, between two slashes.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Segment {
    /// Exactly this text.
    Text(Box<str>),
    /// Text and parameters, divided at dots.
    Mixed(Mixed),
    /// Anything.
    Parameter,
}

/// A segment such as `:name.json`: at least one of its parts is a parameter.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Mixed(Vec<Part>);

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Part {
    Text(String),
    /// Up to the next dot, or to the segment's end where it is the last part.
    Parameter,
}

/// A route, taken apart.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub segments: Vec<Segment>,
    /// Ends in `/...` or `/*`: everything below matches too.
    pub wildcard: bool,
    /// The parameters' names in their order.
    pub parameters: Vec<String>,
}

impl Pattern {
    pub fn parse(route: &str) -> Result<Self, PatternError> {
        if route.chars().any(char::is_control) {
            return Err(PatternError::ControlCharacter);
        }
        let absolute = if route.starts_with('/') { route.to_owned() } else { format!("/{route}") };
        let trimmed = absolute.strip_suffix('/').unwrap_or(&absolute);
        let prefix = trimmed.strip_suffix("/...").or_else(|| trimmed.strip_suffix("/*"));
        let mut pattern = Self { segments: Vec::new(), wildcard: prefix.is_some(), parameters: Vec::new() };
        for segment in prefix.unwrap_or(trimmed).split('/').filter(|segment| !segment.is_empty()) {
            if pattern.segments.len() == MAX_SEGMENTS {
                return Err(PatternError::TooLong);
            }
            let segment = pattern.segment(segment)?;
            pattern.segments.push(segment);
        }
        Ok(pattern)
    }

    fn segment(&mut self, text: &str) -> Result<Segment, PatternError> {
        if text == "..." || text.split('.').any(|part| part.starts_with('*')) {
            return Err(PatternError::Wildcard);
        }
        let mut parts: Vec<Part> = Vec::new();
        for (index, part) in text.split('.').enumerate() {
            let dot = if index == 0 { "" } else { "." };
            match part.strip_prefix(':') {
                Some(name) => {
                    self.parameter(name)?;
                    Part::append(&mut parts, dot);
                    parts.push(Part::Parameter);
                }
                None => Part::append(&mut parts, &format!("{dot}{part}")),
            }
        }
        Ok(match parts.as_slice() {
            [Part::Parameter] => Segment::Parameter,
            [Part::Text(text)] => Segment::Text(text.as_str().into()),
            _ => Segment::Mixed(Mixed(parts)),
        })
    }

    fn parameter(&mut self, name: &str) -> Result<(), PatternError> {
        if name.is_empty() {
            return Err(PatternError::NamelessParameter);
        }
        self.parameters.push(name.to_owned());
        Ok(())
    }
}

impl Part {
    fn append(parts: &mut Vec<Self>, text: &str) {
        if text.is_empty() {
            return;
        }
        match parts.last_mut() {
            Some(Self::Text(last)) => last.push_str(text),
            _ => parts.push(Self::Text(text.to_owned())),
        }
    }
}

impl Mixed {
    /// Matches one segment of a path, appending what the parameters took; on a mismatch `captures` may have grown. At the
    /// path's very end a parameter takes something or nothing matches.
    pub fn matches<'path>(&self, segment: &'path str, at_end: bool, captures: &mut Vec<&'path str>) -> bool {
        let mut rest = segment;
        for (index, part) in self.0.iter().enumerate() {
            match part {
                Part::Text(text) => match rest.strip_prefix(text.as_str()) {
                    Some(after) => rest = after,
                    None => return false,
                },
                Part::Parameter => {
                    let last = index + 1 == self.0.len();
                    let end = if last { Some(rest.len()).filter(|&len| len > 0 || !at_end) } else { rest.find('.') };
                    let Some(end) = end else { return false };
                    captures.push(&rest[..end]);
                    rest = &rest[end..];
                }
            }
        }
        rest.is_empty()
    }

    /// The order in which patterns of one place are tried: text first, then the one with more parts.
    pub fn rank(&self) -> (bool, std::cmp::Reverse<usize>) {
        (matches!(self.0.first(), Some(Part::Parameter)), std::cmp::Reverse(self.0.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_the_wildcard_mean_the_same() {
        for route in ["/foo/...", "/foo/*", "foo/...", "/foo/.../"] {
            let pattern = Pattern::parse(route).expect(route);
            assert_eq!((pattern.segments, pattern.wildcard), (vec![Segment::Text("foo".into())], true), "{route}");
        }
    }

    #[test]
    fn parameters_are_named_in_their_order() {
        let pattern = Pattern::parse("/a/:first/b/:second.:third").expect("valid");
        assert_eq!(pattern.parameters, ["first", "second", "third"]);
    }

    #[test]
    fn what_no_router_could_honour_is_refused() {
        assert_eq!(Pattern::parse("/a/.../b").expect_err("refused"), PatternError::Wildcard);
        assert_eq!(Pattern::parse("/a/*/b").expect_err("refused"), PatternError::Wildcard);
        assert_eq!(Pattern::parse("/a*/*b").expect_err("refused"), PatternError::Wildcard);
        assert_eq!(Pattern::parse("/a/:").expect_err("refused"), PatternError::NamelessParameter);
        assert_eq!(Pattern::parse(&"/a".repeat(300)).expect_err("refused"), PatternError::TooLong);
        assert_eq!(Pattern::parse("/a\nb").expect_err("refused"), PatternError::ControlCharacter);
    }

    #[test]
    fn dots_without_parameters_are_plain_text() {
        let pattern = Pattern::parse("/v1.2/logo.png").expect("valid");
        assert_eq!(pattern.segments, [Segment::Text("v1.2".into()), Segment::Text("logo.png".into())]);
    }
}
