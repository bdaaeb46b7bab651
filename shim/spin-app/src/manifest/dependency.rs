//! `[component.<id>.dependencies]`: what satisfies a component's imports. Read and checked; composing is done before an app becomes an image.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    common::{check_digest, check_package},
    forms::{Checked, TextOr},
};
use crate::{Error, id::ComponentId};

/// More than any component has; they are compared each with each.
const MAX_DEPENDENCIES: usize = 1000;

/// The name of an import: `name`, `namespace:package`, `namespace:package/interface@1.2.3`, …
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub(crate) enum Name {
    /// One import by its plain name.
    Plain(String),
    /// A whole package, or one of its interfaces.
    Package {
        /// `namespace:package`
        package: String,
        interface: Option<String>,
        version: Option<semver::Version>,
    },
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if !name.contains([':', '/']) {
            return ComponentId::try_from(name).map(|id| Self::Plain(id.into())).map_err(|error| error.to_string());
        }
        let (path, version) = name.split_once('@').map_or((&*name, None), |(path, version)| (path, Some(version)));
        let (package, interface) = path.split_once('/').map_or((path, None), |(package, interface)| (package, Some(interface)));
        check_package(package)?;
        let version = version
            .map(semver::Version::parse)
            .transpose()
            .map_err(|error| format!("dependency {name:?} has no valid version: {error}"))?;
        let interface = interface.map(|interface| ComponentId::try_from(interface.to_owned())).transpose();
        let interface = interface.map_err(|_| format!("dependency {name:?} has no valid name of an interface"))?;
        Ok(Self::Package { package: package.to_owned(), interface: interface.map(String::from), version })
    }
}

/// What satisfies an import.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "TextOr<Table>")]
pub(crate) struct Dependency {
    pub(crate) component: Option<ComponentId>,
    names_package: bool,
    has_export: bool,
}

/// What runs before a component (`dependencies` of a trigger, middleware).
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "TextOr<Table>")]
pub(crate) struct TriggerDependency;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    version: Option<String>,
    registry: Option<String>,
    package: Option<String>,
    path: Option<String>,
    url: Option<String>,
    digest: Option<String>,
    component: Option<ComponentId>,
    export: Option<String>,
    #[serde(default, rename = "inherit_configuration")]
    _inherit_configuration: Checked<Inherit>,
}

impl Table {
    /// Exactly one of the four forms, with all of its fields and none of another's.
    fn check(&self) -> Result<(), String> {
        match self {
            Self { version: Some(version), path: None, url: None, digest: None, component: None, .. } => check_requirement(version),
            Self { path: Some(_), version: None, registry: None, package: None, url: None, digest: None, component: None, .. } => Ok(()),
            Self { url: Some(_), digest: Some(digest), version: None, registry: None, package: None, path: None, component: None, .. } => check_digest(digest),
            Self { component: Some(_), version: None, registry: None, package: None, path: None, url: None, digest: None, .. } => Ok(()),
            _ => Err("a dependency has `version` (and perhaps `registry` and `package`), or `path`, or `url` and `digest`, or `component`".to_owned()),
        }?;
        self.package.as_deref().map_or(Ok(()), check_package)
    }
}

impl TryFrom<TextOr<Table>> for Dependency {
    type Error = String;

    fn try_from(form: TextOr<Table>) -> Result<Self, String> {
        let table = match form {
            TextOr::Text(version) => Table { version: Some(version), ..Table::default() },
            TextOr::Table(table) => table,
        };
        table.check()?;
        let names_package = table.version.is_none() || table.package.is_some();
        Ok(Self { names_package, has_export: table.export.is_some(), component: table.component })
    }
}

impl TryFrom<TextOr<Table>> for TriggerDependency {
    type Error = String;

    fn try_from(form: TextOr<Table>) -> Result<Self, String> {
        let TextOr::Table(table) = form else {
            return Err("a trigger's dependency is a table".to_owned());
        };
        match table {
            Table { export: Some(_), .. } => Err("a trigger's dependency has no `export`".to_owned()),
            Table { version: Some(_), package: None, .. } => {
                Err("a trigger's dependency with a `version` needs a `package`".to_owned())
            }
            _ => table.check().map(|()| Self),
        }
    }
}

/// `inherit_configuration`: all of it, nothing, or only the named parts.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Inherit {
    All(#[allow(dead_code, reason = "read for its shape alone")] bool),
    Some(#[allow(dead_code, reason = "read for its shape alone")] Vec<String>),
}

fn check_requirement(version: &str) -> Result<(), String> {
    let malformed = |error| format!("{version:?} is not a version requirement: {error}");
    semver::VersionReq::parse(version).map(|_| ()).map_err(malformed)
}

/// Whether the dependencies of one component make sense each for itself and together.
pub(crate) fn check(component: &str, dependencies: &BTreeMap<Name, Dependency>) -> Result<(), Error> {
    let fault = |name: &Name, reason: &str| Error::Invalid {
        place: format!("dependency {:?} of component {component:?}", name.to_string()),
        reason: reason.to_owned(),
    };
    if dependencies.len() > MAX_DEPENDENCIES {
        let reason = format!("it has {} dependencies, more than the {MAX_DEPENDENCIES} allowed", dependencies.len());
        return Err(Error::Invalid { place: format!("component {component:?}"), reason });
    }
    for (name, dependency) in dependencies {
        match name {
            Name::Plain(_) if !dependency.names_package => return Err(fault(name, "it must name a `package`")),
            Name::Package { interface: None, .. } if dependency.has_export => {
                return Err(fault(name, "the name of a whole package can't have an `export`"));
            }
            _ => {}
        }
        let other = dependencies.keys().take_while(|other| *other != name).find(|other| other.overlaps(name));
        if let Some(other) = other {
            return Err(fault(name, &format!("it overlaps with the dependency {:?}", other.to_string())));
        }
    }
    Ok(())
}

impl Name {
    /// Whether both could satisfy one import.
    fn overlaps(&self, other: &Self) -> bool {
        let (
            Self::Package { package, interface, version },
            Self::Package { package: package2, interface: interface2, version: version2 },
        ) = (self, other)
        else {
            return false;
        };
        let apart_by_version = matches!((version, version2), (Some(a), Some(b)) if compatible(a) != compatible(b));
        let apart_by_interface = matches!((interface, interface2), (Some(a), Some(b)) if a != b);
        package == package2 && !apart_by_version && !apart_by_interface
    }
}

/// What versions must have in common to stand for one another: the part left of and with the first number that isn't zero.
fn compatible(version: &semver::Version) -> (u64, u64, u64, &str) {
    match (version.pre.as_str(), version.major, version.minor) {
        ("", 0, 0) => (0, 0, version.patch, ""),
        ("", 0, minor) => (0, minor, 0, ""),
        ("", major, _) => (major, 0, 0, ""),
        (pre, major, minor) => (major, minor, version.patch, pre),
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain(name) => f.write_str(name),
            Self::Package { package, interface, version } => {
                f.write_str(package)?;
                interface.iter().try_for_each(|interface| write!(f, "/{interface}"))?;
                version.iter().try_for_each(|version| write!(f, "@{version}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(table: &str) -> Result<(), String> {
        let dependencies = toml::from_str(table).map_err(|error| error.message().to_owned())?;
        check("main", &dependencies).map_err(|error| error.to_string())
    }

    #[test]
    fn every_form_of_spin_4_is_read() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        checked(
            &r#"
            "fizz:buzz" = ">=0.1.0"
            "a:b/c" = { registry = "r.io", version = "^1.2.3", package = "a:b", export = "foo", inherit_configuration = true }
            "foo:bar/baz@0.1.0" = { path = "x.wasm", inherit_configuration = ["ai_models", "allowed_outbound_hosts"] }
            "foo:url/baz" = { url = "https://x/y.wasm", digest = "DIGEST", export = "e" }
            plain = { component = "other", export = "e" }
            "#
            .replace("DIGEST", &digest),
        )
        .unwrap();
    }

    #[test]
    fn mixed_and_incomplete_forms_are_refused() {
        for value in [
            "{}",
            "{ path = \"a\", version = \"1\" }",
            "{ url = \"u\" }",
            "{ component = \"a\", path = \"b\" }",
            "{ package = \"a:b\" }",
        ] {
            assert!(checked(&format!("\"a:b\" = {value}")).unwrap_err().contains("a dependency has `version`"), "{value}");
        }
        assert!(checked("\"a:b\" = { pth = \"a\" }").unwrap_err().contains("unknown field `pth`"));
        assert!(checked("\"a:b\" = \"one\"").unwrap_err().contains("\"one\" is not a version requirement"));
    }

    #[test]
    fn a_plain_name_needs_a_package() {
        assert!(
            checked("a-b = \"1\"").unwrap_err().contains("dependency \"a-b\" of component \"main\": it must name a `package`")
        );
        assert!(checked("a-b = { version = \"1\", package = \"c:d\" }").is_ok());
        assert!(checked("a-b = { path = \"x\" }").is_ok());
    }

    #[test]
    fn a_whole_package_has_no_export() {
        assert!(checked("\"a:b@1.0.0\" = { path = \"x\", export = \"y\" }").unwrap_err().contains("can't have an `export`"));
    }

    #[test]
    fn names_of_one_package_must_differ_in_version_or_interface() {
        let pair = |one: &str, two: &str| checked(&format!("{one:?} = \"1\"\n{two:?} = \"1\""));
        for (one, two) in [
            ("a:b/c", "a:b/d"),
            ("a:b@1.0.0", "a:b@2.0.0"),
            ("a:b@0.1.0", "a:b@0.2.0"),
            ("a:b@0.0.1", "a:b@0.0.2"),
            ("a:b", "a:c"),
        ] {
            pair(one, two).unwrap();
        }
        for (one, two) in [("a:b", "a:b/c"), ("a:b@1.0.0", "a:b@1.1.0"), ("a:b@0.1.0", "a:b@0.1.1"), ("a:b/c", "a:b/c@1.0.0")] {
            assert!(pair(one, two).unwrap_err().contains("overlaps"), "{one} {two}");
        }
    }

    #[test]
    fn names_are_checked() {
        for name in ["a:", ":b", "a:b/", "a:b@x", "a:b/c_d", "a:b:c", "a/b", "A_B"] {
            assert!(checked(&format!("{name:?} = {{ path = \"x\" }}")).is_err(), "{name}");
        }
    }

    #[test]
    fn dependencies_of_triggers_are_tables_without_export() {
        let read = |value: &str| toml::from_str::<BTreeMap<String, TriggerDependency>>(&format!("x = {value}")).map(|_| ());
        read("{ path = \"x\" }").unwrap();
        read("{ version = \"1\", package = \"a:b\" }").unwrap();
        for value in ["\"1\"", "{ version = \"1\" }", "{ path = \"x\", export = \"e\" }", "{}"] {
            assert!(read(value).is_err(), "{value}");
        }
    }
}
