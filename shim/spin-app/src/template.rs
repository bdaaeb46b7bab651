//! Text with variables in it: `redis://{{ redis_host }}:6379`.
//!
//! There are no filters and no escape: a `{{` always opens a variable's name, and a `}}` without one is plain text.

use std::fmt;

use crate::Error;

/// A parsed template.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Text(String),
    Variable(String),
}

impl Template {
    /// Reads a template; the only thing that can be wrong is a `{{` without its `}}`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let unclosed = || Error::Template { text: text.to_owned(), reason: "a `{{` is not closed by `}}`" };
            let (name, behind) = after.split_once("}}").ok_or_else(unclosed)?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Variable(name.trim().to_owned()));
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The names of the variables, in order, each as often as it occurs.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// Whether no variable occurs in it, so that it needs no resolving.
    pub fn is_literal(&self) -> bool {
        self.names().next().is_none()
    }

    /// The text with every variable replaced by what `value` says of it; the first error ends it.
    pub fn resolve<E>(&self, value: &mut dyn FnMut(&str) -> Result<String, E>) -> Result<String, E> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Variable(name) => text.push_str(&value(name)?),
            }
        }
        Ok(text)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Variable(name) => write!(f, "{{{{ {name} }}}}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> Result<String, String> {
        let template = Template::parse(text).map_err(|error| error.to_string())?;
        template.resolve(&mut |name| if name == "missing" { Err("missing!".to_owned()) } else { Ok(name.to_uppercase()) })
    }

    #[test]
    fn text_without_variables_stays_as_it_is() {
        assert_eq!(resolved("").unwrap(), "");
        assert_eq!(resolved("a } b { c }} d").unwrap(), "a } b { c }} d");
        assert!(Template::parse("plain").unwrap().is_literal());
    }

    #[test]
    fn names_are_trimmed_and_replaced() {
        assert_eq!(resolved("{{host}}:{{  port }}").unwrap(), "HOST:PORT");
        assert_eq!(resolved("a{{ b }}c").unwrap(), "aBc");
    }

    #[test]
    fn names_are_listed_in_order() {
        let template = Template::parse("{{ b }}-{{ a }}-{{ b }}").unwrap();
        assert_eq!(template.names().collect::<Vec<_>>(), ["b", "a", "b"]);
        assert!(!template.is_literal());
    }

    #[test]
    fn an_unclosed_brace_is_an_error_that_shows_the_text() {
        let error = resolved("ok {{ a }} {{ b }").unwrap_err();
        assert_eq!(error, "the template \"ok {{ a }} {{ b }\" is malformed: a `{{` is not closed by `}}`");
    }

    #[test]
    fn the_first_error_of_a_variable_ends_resolving() {
        assert_eq!(resolved("{{ a }}{{ missing }}").unwrap_err(), "missing!");
    }

    #[test]
    fn there_is_no_escape_and_no_nesting() {
        assert_eq!(Template::parse("{{ a {{ b }} }}").unwrap().names().collect::<Vec<_>>(), ["a {{ b"]);
    }

    #[test]
    fn a_template_is_shown_in_the_usual_spacing() {
        assert_eq!(Template::parse("x{{a}}").unwrap().to_string(), "x{{ a }}");
    }
}
