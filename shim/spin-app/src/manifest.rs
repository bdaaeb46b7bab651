//! `spin.toml`: both versions of the manifest, and how it becomes a locked app.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};

use crate::{Error, LockedApp};

mod common;
mod dependency;
mod forms;
mod lock;
mod v1;
mod v2;

pub(crate) use lock::unsupported_dependencies;

/// More than any manifest has; what is larger is not read.
pub const MAX_MANIFEST_BYTES: usize = 1 << 20;

/// What a manifest says: the app, and which files its components want of the app's root.
#[derive(Clone, Debug, Default)]
pub struct ManifestApp {
    /// The app; its components have no files yet, and their sources are paths relative to the manifest, as they were written.
    pub app: LockedApp,
    /// By component id; only of components that want files.
    pub files: BTreeMap<String, FilePatterns>,
}

/// Which files of the app's root a component sees.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FilePatterns {
    /// What to mount, in order.
    pub mounts: Vec<FileMount>,
    /// Globs over paths relative to the app's root: what matches is left out.
    pub exclude: Vec<String>,
}

/// One entry of `files`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FileMount {
    /// A glob, or the path of a file or directory, relative to the app's root; the guest sees the same path.
    Pattern(String),
    /// A file or directory that the guest sees elsewhere.
    Placement {
        /// Relative to the app's root.
        source: String,
        /// In the guest; absolute.
        destination: String,
    },
}

/// Reads a manifest of either version and locks it.
pub fn lock_manifest(text: &str) -> Result<ManifestApp, Error> {
    if text.len() > MAX_MANIFEST_BYTES {
        return Err(Error::TooLarge { what: "spin.toml", size: text.len(), limit: MAX_MANIFEST_BYTES });
    }
    let manifest = match version(text)? {
        Version::One => read::<v1::Manifest>(text)?.into_v2()?,
        Version::Two => read(text)?,
    };
    lock::lock(manifest)
}

enum Version {
    One,
    Two,
}

fn version(text: &str) -> Result<Version, Error> {
    #[derive(Deserialize)]
    struct Probe {
        #[serde(alias = "spin_version")]
        spin_manifest_version: Option<toml::Value>,
    }
    let version = read::<Probe>(text)?.spin_manifest_version.ok_or(Error::NoManifestVersion)?;
    match (version.as_integer(), version.as_str()) {
        (Some(1), _) | (_, Some("1")) => Ok(Version::One),
        (Some(2), _) | (_, Some("2")) => Ok(Version::Two),
        _ => Err(Error::UnknownManifestVersion(version.to_string())),
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    toml::from_str(text).map_err(|error| located(text, &error))
}

/// The parser's error with the place in words instead of an excerpt.
fn located(text: &str, error: &toml::de::Error) -> Error {
    let span = error.span().unwrap_or_default();
    let before = text.get(..span.start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    let message = match (error.message(), text.get(span)) {
        // The parser leaves it to its excerpt to say which.
        ("duplicate key", Some(key)) => format!("duplicate key `{}`", key.chars().take(80).collect::<String>()),
        (message, _) => message.replace('\n', ", "),
    };
    Error::Manifest { line, column, message }
}
