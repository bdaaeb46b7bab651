//! The entries of `files` that name volumes of the pod. A component sees a volume itself, and not a copy, so that later changes
//! show.

use std::io::ErrorKind;

use spin_app::{FileMount, FilePatterns, VolumeDirectory};

use crate::OciError;
use crate::pattern::plain;
use crate::root::{Root, join};

/// What a runtime mounts in a container for itself or for the host, and not for the app. An entry that names a directory above
/// does not mean these.
const NOT_IMPLIED: [&str; 9] = [
    ".spin",
    "dev",
    "etc/hostname",
    "etc/hosts",
    "etc/resolv.conf",
    "proc",
    "run/secrets/kubernetes.io",
    "runtime-config.toml",
    "var/run/secrets/kubernetes.io",
];

/// What an entry names, as far as that matters here.
struct Entry {
    /// A directory, or a file.
    source: String,
    /// Where the guest sees it.
    guest: String,
    /// Whether all that is in the directory is meant.
    is_whole: bool,
}

/// Takes the entries that name something in one of these volumes out of `patterns`, and returns what the component sees of
/// volumes. `volumes`: their paths in the container.
pub(crate) fn take(
    root: &Root,
    component: &str,
    patterns: &mut FilePatterns,
    volumes: &[String],
) -> Result<Vec<VolumeDirectory>, OciError> {
    let volumes: Vec<&str> = volumes.iter().map(|path| path.trim_matches('/')).filter(|path| !path.is_empty()).collect();
    let (mut found, mut kept) = (Vec::new(), Vec::new());
    for mount in std::mem::take(&mut patterns.mounts) {
        let entry = Entry::of(&mount);
        if let Some((volume, below)) = entry.in_volume(&volumes) {
            if !entry.is_whole {
                let (FileMount::Pattern(written) | FileMount::Placement { source: written, .. }) = mount;
                let reason = format!("a component can see whole directories of the volume at /{volume}, and no pattern of files");
                return Err(OciError::Files { component: component.to_owned(), entry: written, reason });
            }
            found.push(VolumeDirectory { volume, below, guest: entry.guest, is_implied: false });
            continue;
        }
        let implied = entry.above(&volumes);
        // The image need not hold a directory of which the pod makes a part.
        let is_missing = || root.is_directory(&entry.source).is_err_and(|error| error.kind() == ErrorKind::NotFound);
        if implied.is_empty() || !is_missing() {
            kept.push(mount);
        }
        found.extend(implied);
    }
    patterns.mounts = kept;
    Ok(found)
}

impl Entry {
    fn of(mount: &FileMount) -> Self {
        match mount {
            FileMount::Placement { source, destination } => {
                let guest = destination.trim_matches('/').to_owned();
                Self { source: plain(source).trim_start_matches('/').to_owned(), guest, is_whole: true }
            }
            FileMount::Pattern(pattern) => {
                let pattern = plain(pattern);
                let names: Vec<&str> = pattern.split('/').collect();
                let literal = names.iter().take_while(|name| !name.contains(['*', '?', '['])).count();
                let source = names[..literal].join("/");
                let is_whole = matches!(names[literal..], [] | ["**"] | ["**", "*"]);
                Self { guest: source.clone(), source, is_whole }
            }
        }
    }

    /// The volume in which it is, and its path there.
    fn in_volume(&self, volumes: &[&str]) -> Option<(String, String)> {
        let inside = volumes.iter().filter_map(|volume| Some((volume, below(&self.source, volume)?)));
        let (volume, below) = inside.max_by_key(|(volume, _)| volume.len())?;
        Some(((*volume).to_owned(), below.to_owned()))
    }

    /// The volumes below it, where the guest sees them.
    fn above(&self, volumes: &[&str]) -> Vec<VolumeDirectory> {
        let volumes = volumes.iter().filter(|_| self.is_whole);
        let volumes = volumes.filter(|volume| !NOT_IMPLIED.iter().any(|other| below(volume, other).is_some()));
        let directory = |volume: &&str| {
            let guest = join(&self.guest, below(volume, &self.source)?);
            Some(VolumeDirectory { volume: (*volume).to_owned(), below: String::new(), guest, is_implied: true })
        };
        volumes.filter_map(directory).collect()
    }
}

/// The path from a directory to what is in it, or is it.
fn below<'a>(path: &'a str, directory: &str) -> Option<&'a str> {
    if directory.is_empty() {
        return Some(path);
    }
    let rest = path.strip_prefix(directory)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;

    use super::*;

    /// What is seen of these volumes, as `VOLUME:BELOW:GUEST`, and how many entries are left for the image.
    fn taken(mounts: &[FileMount], volumes: &[&str]) -> Result<(Vec<String>, usize), String> {
        let image = tempfile::tempdir().unwrap();
        fs::create_dir(image.path().join("site")).unwrap();
        let root = Root::confined(fs::File::open(image.path()).unwrap().as_fd()).unwrap();
        let mut patterns = FilePatterns { mounts: mounts.to_vec(), exclude: Vec::new() };
        let volumes: Vec<String> = volumes.iter().map(|&path| path.to_owned()).collect();
        let found = take(&root, "main", &mut patterns, &volumes).map_err(|error| error.to_string())?;
        let shown = |one: VolumeDirectory| format!("{}:{}:{}", one.volume, one.below, one.guest);
        Ok((found.into_iter().map(shown).collect(), patterns.mounts.len()))
    }

    fn placed(source: &str, destination: &str) -> FileMount {
        FileMount::Placement { source: source.to_owned(), destination: destination.to_owned() }
    }

    fn pattern(text: &str) -> FileMount {
        FileMount::Pattern(text.to_owned())
    }

    fn is(mount: FileMount, volumes: &[&str], found: &str, left: usize) {
        let name = format!("{mount:?}");
        let expected = (found.split(' ').filter(|one| !one.is_empty()).map(str::to_owned).collect(), left);
        assert_eq!(taken(&[mount], volumes), Ok(expected), "{name}");
    }

    #[test]
    fn entry_that_names_a_volume_or_a_directory_in_it_is_the_volumes() {
        is(placed("mount", "/mount"), &["/mount"], "mount::mount", 0);
        is(placed("./mount/", "/a/b/"), &["/mount/"], "mount::a/b", 0);
        is(placed("/mount/deep", "/"), &["/mount", "/mount/deep/er"], "mount:deep:", 0);
        is(placed("mount/deep/x", "/x"), &["/mount", "/mount/deep"], "mount/deep:x:x", 0);
        is(pattern("mount"), &["/mount"], "mount::mount", 0);
        is(pattern("mount/**/*"), &["/mount"], "mount::mount", 0);
        is(placed("mounted", "/m"), &["/mount", "/"], "", 1);
    }

    #[test]
    fn volumes_below_a_directory_are_seen_in_it_unless_they_are_not_the_apps() {
        is(placed("site", "/www"), &["/site/up", "/other"], "site/up::www/up", 1);
        is(pattern("site/**"), &["/site/up"], "site/up::site/up", 1);
        is(placed(".", "/"), &["/data", "/.spin", "/etc/hosts", "/dev/shm", "/runtime-config.toml"], "data::data", 1);
        is(placed(".", "/"), &["/var/run/secrets/kubernetes.io/serviceaccount"], "", 1);
        is(placed("nowhere", "/www"), &["/nowhere/up"], "nowhere/up::www/up", 0);
        is(pattern("site/*.html"), &["/site/up"], "", 1);
    }

    #[test]
    fn pattern_of_files_in_a_volume_is_refused() {
        for text in ["mount/*.toml", "mount/*", "mount/**/*.txt", "mount/deep/?"] {
            let refused = taken(&[pattern(text)], &["/mount"]).expect_err(text);
            assert!(refused.contains(text) && refused.contains("whole directories of the volume at /mount"), "{refused}");
        }
    }
}
