//! The `files` of a component: which files of the app's root its patterns mean, and where the guest sees them.

use std::io::ErrorKind;

use glob::{MatchOptions, Pattern};
use spin_app::{FileMount, FilePatterns};

use crate::OciError;
use crate::root::{Root, join};

/// A glob longer than this is no path's.
const MAX_PATTERN: usize = 4096;

/// As Spin globs: `*` stays within a directory, and a leading dot is nothing special.
const GLOB: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// A file of the app's root, and where the guest sees it.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Mapped {
    /// Relative to the app's root.
    pub(crate) source: String,
    /// Relative to the guest's root.
    pub(crate) path: String,
}

/// The files one entry means.
struct Found {
    files: Vec<Mapped>,
    /// By a directory or a glob, so that exclusions count; a file that is named by itself is wanted.
    listed: bool,
}

/// Resolves all entries of a component, in order: of two files at one path the later counts.
pub(crate) fn resolve(root: &Root, component: &str, patterns: &FilePatterns) -> Result<Vec<Mapped>, OciError> {
    let refuse =
        |entry: &str, reason: String| OciError::Files { component: component.to_owned(), entry: entry.to_owned(), reason };
    let exclude = patterns.exclude.iter().map(|text| parse(text).map_err(|reason| refuse(text, reason)));
    let exclude = exclude.collect::<Result<Vec<_>, _>>()?;
    let mut all = Vec::new();
    for mount in &patterns.mounts {
        let (entry, found) = match mount {
            FileMount::Pattern(pattern) => (pattern, of_pattern(root, pattern)),
            FileMount::Placement { source, destination } => (source, of_placement(root, source, destination)),
        };
        let found = found.map_err(|reason| refuse(entry, reason))?;
        // Spin has `*` of an exclusion cross directories, other than that of a pattern.
        let kept = |file: &Mapped| !found.listed || !exclude.iter().any(|pattern| pattern.matches(&file.source));
        all.extend(found.files.into_iter().filter(kept));
    }
    Ok(all)
}

/// A path as the manifest may have it, `./` and a trailing slash left out.
pub(crate) fn plain(path: &str) -> &str {
    let mut path = path;
    while let Some(rest) = path.strip_prefix("./") {
        path = rest.trim_start_matches('/');
    }
    let path = path.strip_suffix("/.").unwrap_or(path).trim_end_matches('/');
    if path == "." { "" } else { path }
}

/// A file, a directory, or a glob; the guest sees the same paths.
fn of_pattern(root: &Root, pattern: &str) -> Result<Found, String> {
    let path = plain(pattern);
    if path.is_empty() {
        return Err("a pattern can't be the whole directory; write { source = \".\", destination = \"/\" }".to_owned());
    }
    if path.starts_with('/') || path.split('/').any(|name| name == "..") {
        return Err("a pattern can't lead out of the app's directory".to_owned());
    }
    match root.is_directory(path) {
        Ok(true) => Ok(Found { files: below(root, path, path)?, listed: true }),
        Ok(false) => Ok(Found { files: vec![Mapped { source: path.to_owned(), path: path.to_owned() }], listed: false }),
        Err(error) if error.kind() == ErrorKind::NotFound && path.contains(['*', '?', '[']) => of_glob(root, path),
        Err(error) if error.kind() == ErrorKind::NotFound => Err("there is no such file or directory".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Everything below the part of the pattern that has no wildcard, as far as it matches; that may be nothing.
fn of_glob(root: &Root, pattern: &str) -> Result<Found, String> {
    let names: Vec<&str> = pattern.split('/').collect();
    let literal = names.iter().take_while(|name| !name.contains(['*', '?', '['])).count();
    let directory = names[..literal].join("/");
    let glob = parse(pattern)?;
    let mut files = match root.is_directory(&directory) {
        Ok(true) => below(root, &directory, &directory)?,
        _ => Vec::new(),
    };
    files.retain(|file| glob.matches_with(&file.source, GLOB));
    Ok(Found { files, listed: true })
}

/// A file or a directory that the guest sees elsewhere.
fn of_placement(root: &Root, source: &str, destination: &str) -> Result<Found, String> {
    let (path, target) = (plain(source), destination.trim_start_matches('/'));
    let directory = root.is_directory(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => "there is no such file or directory".to_owned(),
        _ => error.to_string(),
    })?;
    if directory {
        return Ok(Found { files: below(root, path, target.trim_end_matches('/'))?, listed: true });
    }
    if target.is_empty() || target.ends_with('/') {
        return Err(format!("is a file, and its destination {destination:?} is not the name of one"));
    }
    Ok(Found { files: vec![Mapped { source: path.to_owned(), path: target.to_owned() }], listed: false })
}

/// All files below a directory, as seen below another.
fn below(root: &Root, directory: &str, target: &str) -> Result<Vec<Mapped>, String> {
    let files = root.walk(directory).map_err(|error| error.to_string())?;
    Ok(files.iter().map(|file| Mapped { source: join(directory, file), path: join(target, file) }).collect())
}

fn parse(pattern: &str) -> Result<Pattern, String> {
    if pattern.len() > MAX_PATTERN {
        return Err(format!("is longer than {MAX_PATTERN} bytes"));
    }
    Pattern::new(plain(pattern)).map_err(|error| format!("is not a pattern: {}", error.msg))
}
