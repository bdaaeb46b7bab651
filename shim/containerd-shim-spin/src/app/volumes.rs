//! The pod's volumes, in which the app finds the runtime config and the files of key-value stores.
//!
//! Only volumes count. What the image holds at the same paths comes from the app's author, not from those who run the app, and
//! a directory of the container's root ends with the container.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use crate::plan::Failure;

/// The runtime config where no setting names another file.
const RUNTIME_CONFIG: &str = "/runtime-config.toml";
const MAX_CONFIG_BYTES: u64 = 1 << 20;
/// The directory for files of stores that have no path of their own.
const STATE_DIR: &str = "/.spin";

/// The volumes of the app's container, by the paths where they are mounted.
pub struct Volumes(Vec<PathBuf>);

impl Volumes {
    /// Those at these paths.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self(paths)
    }

    /// The state directory, where it is a volume.
    pub fn state_dir(&self) -> Option<PathBuf> {
        let dir = Path::new(STATE_DIR);
        (self.0.iter().any(|volume| volume == dir) && dir.is_dir()).then(|| dir.to_owned())
    }

    /// The text of the runtime config: of the file that the setting names, which must be in a volume, or of the usual file, where
    /// that is one.
    pub fn runtime_config(&self, setting: Option<&Path>) -> Result<Option<String>, Failure> {
        let usual = Path::new(RUNTIME_CONFIG);
        match setting {
            Some(path) if self.hold(path) => read(path).map(Some),
            Some(path) => {
                let problem = "is not an absolute path in a volume of the pod";
                Err(Failure::new(
                    Failure::CONFIGURATION,
                    format!("environment variable SPIN_RUNTIME_CONFIG_FILE is {path:?}, but this {problem}"),
                ))
            }
            None if self.hold(usual) => read(usual).map(Some),
            None => {
                if usual.exists() {
                    log::warn!("{RUNTIME_CONFIG} is not read, because it is the image's: mount it from a volume");
                }
                Ok(None)
            }
        }
    }

    /// Whether a path is, by its name, a volume or in one.
    fn hold(&self, path: &Path) -> bool {
        let goes_up = path.components().any(|component| component == Component::ParentDir);
        path.is_absolute() && !goes_up && self.0.iter().any(|volume| volume.parent().is_some() && path.starts_with(volume))
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    let failed = |error| Failure::new(Failure::CONFIGURATION, format!("reading {}: {error}", path.display()));
    let file = File::open(path).map_err(failed)?;
    let mut text = String::new();
    file.take(MAX_CONFIG_BYTES).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_in_a_volume_by_whole_names_and_without_going_up() {
        let volumes = Volumes::new(vec!["/config".into(), "/".into(), "/a/file.toml".into()]);
        for path in ["/config", "/config/deep/file.toml", "/a/file.toml"] {
            assert!(volumes.hold(Path::new(path)), "{path}");
        }
        for path in ["/configuration/file.toml", "/config/../file.toml", "config/file.toml", "/a/other.toml", "/"] {
            assert!(!volumes.hold(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn runtime_config_that_the_setting_names_must_be_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let volumes = Volumes::new(vec![dir.path().to_owned()]);
        let file = dir.path().join("runtime.toml");
        let failure = volumes.runtime_config(Some(&file)).expect_err("there is no such file");
        assert_eq!(failure.code, Failure::CONFIGURATION);
        std::fs::write(&file, "state_dir = \"/data\"").expect("written");
        let text = volumes.runtime_config(Some(&file)).expect("read");
        assert_eq!(text.as_deref(), Some("state_dir = \"/data\""));
    }
}
