//! Names of components, variables and stores: `kebab-case`, `lower_snake_case`, or either.

use std::fmt;

use serde::Deserialize;

use crate::Error;

/// Longer than anybody writes; an id may become the name of a file.
const MAX_LOCKED_ID_BYTES: usize = 255;

/// `my-component`; each word in lower case or in UPPER CASE.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub(crate) struct ComponentId(String);

/// `my_variable`.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub(crate) struct VariableName(String);

/// The label of a store or a database, in kebab case or in snake case.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Label(String);

impl ComponentId {
    /// What an id of a version 1 manifest, which could be anything, is called from now on.
    pub(crate) fn from_version_1(id: &str) -> Result<Self, Error> {
        Self::try_from(id.to_owned()).or_else(|_| Self::try_from(id.replace('_', "-").to_lowercase()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Label {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ComponentId {
    type Error = Error;

    fn try_from(id: String) -> Result<Self, Error> {
        named("component", id, |id| words(id, '-')).map(Self)
    }
}

impl TryFrom<String> for VariableName {
    type Error = Error;

    fn try_from(id: String) -> Result<Self, Error> {
        named("variable", id, lower_snake).map(Self)
    }
}

impl TryFrom<String> for Label {
    type Error = Error;

    fn try_from(id: String) -> Result<Self, Error> {
        named("store", id, |id| words(id, '-').or_else(|reason| words(id, '_').map_err(|_| reason))).map(Self)
    }
}

impl From<ComponentId> for String {
    fn from(id: ComponentId) -> Self {
        id.0
    }
}

impl From<VariableName> for String {
    fn from(name: VariableName) -> Self {
        name.0
    }
}

/// Whether a locked app may use the id. Old apps have ids that today's manifests refuse, so only what could harm as a file name is refused.
pub(crate) fn check_locked(what: &'static str, id: &str) -> Result<(), Error> {
    let reason = match id {
        "" => "it is empty",
        "." | ".." => "it means a directory",
        _ if id.len() > MAX_LOCKED_ID_BYTES => "it is longer than 255 bytes",
        _ if id.contains(|c: char| c == '/' || c == '\\' || c.is_control()) => "it has a slash or a control character",
        _ => return Ok(()),
    };
    let id = id.chars().take(MAX_LOCKED_ID_BYTES).collect();
    Err(Error::InvalidId { what, id, reason: reason.to_owned() })
}

/// Whether a variable may have this name, by the rule that lets it become an environment variable's.
pub(crate) fn lower_snake(name: &str) -> Result<(), String> {
    match name.chars().find(char::is_ascii_uppercase) {
        Some(upper) => Err(format!("it must be in lower case, and has {upper:?}")),
        None => words(name, '_'),
    }
}

fn named(what: &'static str, id: String, rule: impl FnOnce(&str) -> Result<(), String>) -> Result<String, Error> {
    match rule(&id) {
        Ok(()) => Ok(id),
        Err(reason) => Err(Error::InvalidId { what, id, reason }),
    }
}

fn words(id: &str, separator: char) -> Result<(), String> {
    let wrong = if separator == '-' { '_' } else { '-' };
    if id.contains(wrong) {
        return Err(format!("its words must be separated by {separator:?}, not by {wrong:?}"));
    }
    id.split(separator).enumerate().try_for_each(|(position, text)| word(text, position == 0))
}

fn word(word: &str, is_first: bool) -> Result<(), String> {
    let Some(first) = word.chars().next() else {
        return Err("a word in it is empty".to_owned());
    };
    if let Some(strange) = word.chars().find(|c| !c.is_ascii_alphanumeric()) {
        return Err(format!("only ASCII letters and digits are allowed in its words, and it has {strange:?}"));
    }
    if is_first && first.is_ascii_digit() {
        return Err(format!("it must begin with a letter, not with {first:?}"));
    }
    let mixed = word.contains(|c: char| c.is_ascii_lowercase()) && word.contains(|c: char| c.is_ascii_uppercase());
    if mixed { Err(format!("its word {word:?} is neither all lower case nor all UPPER CASE")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(id: &str) -> Result<ComponentId, String> {
        ComponentId::try_from(id.to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn kebab_ids_are_components_names() {
        for id in ["a", "my-component", "a1-b2", "GET-menu", "v-2"] {
            assert_eq!(component(id).unwrap().as_str(), id);
        }
    }

    #[test]
    fn other_spellings_are_refused_with_the_reason() {
        assert!(component("my_component").unwrap_err().contains("separated by '-', not by '_'"));
        assert!(component("").unwrap_err().contains("empty"));
        assert!(component("a--b").unwrap_err().contains("empty"));
        assert!(component("1a").unwrap_err().contains("begin with a letter"));
        assert!(component("myComponent").unwrap_err().contains("\"myComponent\" is neither"));
        assert!(component("a.b").unwrap_err().contains("'.'"));
    }

    #[test]
    fn the_error_names_kind_and_id() {
        assert!(component("a b").unwrap_err().starts_with("component \"a b\" is not a valid name: "));
    }

    #[test]
    fn ids_of_version_1_are_respelled() {
        assert_eq!(ComponentId::from_version_1("my_Component").unwrap().as_str(), "my-component");
        assert_eq!(ComponentId::from_version_1("fine").unwrap().as_str(), "fine");
        assert!(ComponentId::from_version_1("my component").is_err());
    }

    #[test]
    fn variables_are_lower_snake_case() {
        assert!(VariableName::try_from("redis_address_2".to_owned()).is_ok());
        for name in ["Redis", "redis-address", "_a", "a_", "a__b", "", "1a", "a.b"] {
            assert!(VariableName::try_from(name.to_owned()).is_err(), "{name}");
        }
    }

    #[test]
    fn labels_are_kebab_or_snake_case() {
        for label in ["default", "my-store", "my_store"] {
            assert!(Label::try_from(label.to_owned()).is_ok());
        }
        assert!(Label::try_from("my-odd_store".to_owned()).is_err());
    }

    #[test]
    fn locked_ids_may_be_old_but_never_a_path() {
        for id in ["my_component", "My Component", "a.b"] {
            assert!(check_locked("component", id).is_ok());
        }
        for id in ["", ".", "..", "a/b", "..\\x", "a\0b", &"x".repeat(256)] {
            assert!(check_locked("component", id).is_err());
        }
    }
}
