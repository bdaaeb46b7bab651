//! What both versions of the manifest have in common: variables, sources, files, build settings.

use serde::{Deserialize, Serialize, de::Error as _};

use super::{
    FileMount,
    forms::{OneOrMany, TextOr},
};
use crate::{Error, LockedVariable};

/// `[variables.<name>]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variable {
    description: Option<String>,
    #[serde(default)]
    required: bool,
    default: Option<String>,
    #[serde(default)]
    secret: bool,
}

impl Variable {
    pub(crate) fn lock(self, name: &str) -> Result<LockedVariable, Error> {
        let reason = match (self.required, &self.default) {
            (true, None) | (false, Some(_)) => {
                return Ok(LockedVariable { description: self.description, default: self.default, secret: self.secret });
            }
            (true, Some(_)) => "it is `required` and has a `default`, but can only have one of them",
            (false, None) => "it must have a `default` or be `required = true`",
        };
        Err(Error::Invalid { place: format!("variable {name:?}"), reason: reason.to_owned() })
    }
}

/// Where a component's wasm comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "TextOr<SourceTable>")]
pub(crate) enum Source {
    /// A path relative to the manifest.
    Local(String),
    /// Downloaded, verified by its digest.
    Url,
    /// From a registry of wasm packages.
    Registry,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceTable {
    url: Option<String>,
    digest: Option<String>,
    registry: Option<String>,
    package: Option<String>,
    version: Option<String>,
}

impl TryFrom<TextOr<SourceTable>> for Source {
    type Error = String;

    fn try_from(form: TextOr<SourceTable>) -> Result<Self, String> {
        match form {
            TextOr::Text(path) if path.is_empty() => Err("the source is empty".to_owned()),
            TextOr::Text(path) => Ok(Self::Local(path)),
            TextOr::Table(SourceTable { url: Some(_), digest: Some(digest), registry: None, package: None, version: None }) => {
                check_digest(&digest).map(|()| Self::Url)
            }
            TextOr::Table(SourceTable {
                url: None,
                digest: None,
                package: Some(package),
                version: Some(version),
                registry: _,
            }) => {
                check_package(&package)?;
                let malformed = |error| format!("the source's version {version:?} is not a version: {error}");
                semver::Version::parse(&version).map_err(malformed).map(|_| Self::Registry)
            }
            TextOr::Table(_) => {
                Err("a source is a path, or has `url` and `digest`, or `package` and `version` and perhaps `registry`".to_owned())
            }
        }
    }
}

/// Whether it is `sha256:` and 64 hexadecimal digits.
pub(crate) fn check_digest(digest: &str) -> Result<(), String> {
    let hex = digest.strip_prefix("sha256:").filter(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
    hex.map(|_| ()).ok_or_else(|| format!("the digest {digest:?} is not `sha256:` and 64 hexadecimal digits"))
}

/// Whether it is the name of a package, `namespace:name`.
pub(crate) fn check_package(package: &str) -> Result<(), String> {
    let word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    match package.split_once(':') {
        Some((namespace, name)) if word(namespace) && word(name) => Ok(()),
        _ => Err(format!("{package:?} is not the name of a package, `namespace:name`")),
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Placement {
    source: String,
    destination: String,
}

impl<'de> Deserialize<'de> for FileMount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match TextOr::<Placement>::deserialize(deserializer)? {
            TextOr::Text(pattern) if pattern.is_empty() => Err(D::Error::custom("an entry of `files` is empty")),
            TextOr::Text(pattern) => Ok(Self::Pattern(pattern)),
            TextOr::Table(Placement { source, destination }) => Ok(Self::Placement { source, destination }),
        }
    }
}

/// `[component.<id>.build]`: not for a shim, but kept in the locked app as other tools keep it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Build {
    command: Commands,
    #[serde(skip_serializing_if = "Option::is_none")]
    workdir: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    watch: Vec<String>,
}

/// One command, or several to be run in order.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(from = "OneOrMany<String>", into = "serde_json::Value")]
pub(crate) struct Commands(Vec<String>);

impl From<OneOrMany<String>> for Commands {
    fn from(OneOrMany(commands): OneOrMany<String>) -> Self {
        Self(commands)
    }
}

impl From<Commands> for serde_json::Value {
    fn from(Commands(mut commands): Commands) -> Self {
        match commands.pop() {
            Some(only) if commands.is_empty() => only.into(),
            last => commands.into_iter().chain(last).collect::<Vec<_>>().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Holder<T> {
        it: T,
    }

    fn read<T: serde::de::DeserializeOwned>(value: &str) -> Result<T, String> {
        let holder = toml::from_str::<Holder<T>>(&format!("it = {value}"));
        holder.map(|holder| holder.it).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_source_is_a_path_a_url_or_a_package() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        assert!(matches!(read("\"a.wasm\""), Ok(Source::Local(path)) if path == "a.wasm"));
        assert!(matches!(read(&format!("{{ url = \"https://x/a.wasm\", digest = \"{digest}\" }}")), Ok(Source::Url)));
        assert!(matches!(read("{ package = \"a:b\", version = \"1.2.3\", registry = \"x.io\" }"), Ok(Source::Registry)));
        assert!(matches!(read("{ package = \"a:b\", version = \"1.2.3\" }"), Ok(Source::Registry)));
    }

    #[test]
    fn a_source_of_mixed_or_missing_fields_is_refused() {
        assert!(read::<Source>("{ url = \"https://x/a.wasm\" }").unwrap_err().contains("`url` and `digest`"));
        assert!(read::<Source>("{ url = \"u\", digest = \"d\", package = \"a:b\" }").unwrap_err().contains("`url` and `digest`"));
        assert!(read::<Source>("{ path = \"a.wasm\" }").unwrap_err().contains("unknown field `path`"));
        assert!(read::<Source>("1").unwrap_err().contains("a string or a table"));
        assert!(read::<Source>("\"\"").unwrap_err().contains("empty"));
    }

    #[test]
    fn a_source_has_a_sound_digest_package_and_version() {
        assert!(read::<Source>("{ url = \"u\", digest = \"sha256:12\" }").unwrap_err().contains("\"sha256:12\""));
        assert!(read::<Source>("{ package = \"ab\", version = \"1.0.0\" }").unwrap_err().contains("namespace:name"));
        assert!(read::<Source>("{ package = \"a:b\", version = \"1\" }").unwrap_err().contains("is not a version"));
    }

    #[test]
    fn files_are_patterns_or_placements() {
        assert_eq!(read("\"assets/*\""), Ok(FileMount::Pattern("assets/*".to_owned())));
        let placement = FileMount::Placement { source: "a".to_owned(), destination: "/b".to_owned() };
        assert_eq!(read("{ source = \"a\", destination = \"/b\" }"), Ok(placement));
        assert!(read::<FileMount>("{ source = \"a\" }").unwrap_err().contains("missing field `destination`"));
        assert!(read::<FileMount>("{ source = \"a\", dest = \"b\" }").unwrap_err().contains("unknown field `dest`"));
    }

    #[test]
    fn a_variable_is_required_or_has_a_default() {
        let lock = |text| read::<Variable>(text).unwrap().lock("x").map_err(|error| error.to_string());
        assert_eq!(lock("{ default = \"\" }").unwrap().default.as_deref(), Some(""));
        assert!(lock("{ required = true, secret = true }").unwrap().secret);
        assert!(lock("{ required = true, default = \"a\" }").unwrap_err().starts_with("variable \"x\": "));
        assert!(lock("{ description = \"a\" }").unwrap_err().contains("must have a `default`"));
        assert!(read::<Variable>("{ default = 1 }").unwrap_err().contains("expected a string"));
    }

    #[test]
    fn build_commands_stay_as_they_were_written() {
        let json = |text| serde_json::to_string(&read::<Build>(text).unwrap()).unwrap();
        assert_eq!(json("{ command = \"make\" }"), r#"{"command":"make"}"#);
        assert_eq!(json("{ command = [\"a\", \"b\"], watch = [\"c\"] }"), r#"{"command":["a","b"],"watch":["c"]}"#);
    }
}
