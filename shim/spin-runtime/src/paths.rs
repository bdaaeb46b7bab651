//! The files that an app uses while it runs, for whoever restricts the process to them.

use std::collections::BTreeSet;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use crate::config::{Provider, RuntimeConfig};
use crate::host::key_value;
use crate::network::certificate_files;
use crate::{Code, Inputs, RuntimeError};

/// By which the engine sees which pages of an instance's memory were written to.
const PAGEMAP: &str = "/proc/self/pagemap";

/// Files by name, without those that the C library reads to look up the names of hosts.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Paths {
    /// Files, and directories with all that lies in them, that are read. Some of them need not exist.
    pub read: BTreeSet<PathBuf>,
    /// Directories in which files are made, changed and removed. They need not exist.
    pub write: BTreeSet<PathBuf>,
}

impl Inputs {
    /// The files that [`crate::Runtime::build`] and the app's requests open.
    ///
    /// # Errors
    /// Where runtime-config.toml is malformed, as `build`.
    pub fn paths(&self) -> Result<Paths, RuntimeError> {
        let config = RuntimeConfig::parse(self.runtime_config.as_deref().unwrap_or_default())?;
        let certificates = certificate_files(&self.env);
        // A volume replaces a file by another one in the same directory.
        let beside = certificates.iter().filter_map(|file| file.parent()).filter(|directory| *directory != Path::new("/"));
        let code = self.code.values().filter_map(|code| match code {
            Code::Precompiled(file) => Some(PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))),
            Code::Wasm(_) => None,
        });
        let values = config.providers.iter().filter_map(Provider::file);
        let read = beside.chain(values).map(Path::to_owned).chain([PAGEMAP.into()]).chain(code);
        let volumes = self.volumes.values().flatten().map(|directory| PathBuf::from(format!("/{}", directory.volume)));
        let read = read.chain(self.files.values().cloned()).chain(volumes).chain(certificates.iter().cloned()).collect();
        let state_dir = config.state_dir.as_deref().map(Path::new).or(self.state_dir.as_deref());
        let write = key_value::directories(self.app.components.iter(), &config.key_value_stores, state_dir);
        Ok(Paths { read, write })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use spin_app::LockedApp;

    use super::*;

    fn paths(stores: serde_json::Value, state_dir: Option<&str>, config: &str, env: &[(&str, &str)]) -> Paths {
        let component = json!({ "id": "a", "source": {}, "metadata": { "key_value_stores": stores } });
        let app = json!({ "spin_lock_version": 0, "components": [component], "triggers": [], "metadata": { "name": "a" } });
        let app: LockedApp = serde_json::from_value(app).unwrap();
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let inputs =
            Inputs { state_dir: state_dir.map(PathBuf::from), runtime_config: Some(config.to_owned()), env, ..Inputs::new(app) };
        inputs.paths().unwrap()
    }

    fn written(stores: serde_json::Value, state_dir: Option<&str>, config: &str) -> Vec<PathBuf> {
        paths(stores, state_dir, config, &[]).write.into_iter().collect()
    }

    #[test]
    fn an_app_without_stores_in_files_writes_nothing() {
        assert_eq!(written(json!([]), Some("/.spin"), ""), Vec::<PathBuf>::new());
        assert_eq!(written(json!(["default"]), None, ""), Vec::<PathBuf>::new());
        let redis = "[key_value_store.default]\ntype = \"redis\"\nurl = \"redis://localhost\"\n";
        assert_eq!(written(json!(["default"]), Some("/.spin"), redis), Vec::<PathBuf>::new());
    }

    #[test]
    fn the_directory_of_each_store_that_a_component_uses_is_written() {
        let config = "[key_value_store.a]\ntype = \"spin\"\npath = \"/data/a.db\"\n[key_value_store.b]\ntype = \"spin\"\npath = \"b/c.db\"\n";
        let expected = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(written(json!(["default", "a", "b"]), Some("/.spin"), config), expected(&["/.spin", "/.spin/b", "/data"]));
        assert_eq!(written(json!(["b"]), None, config), expected(&["/b"]));
        assert_eq!(written(json!(["default"]), None, "state_dir = \"/state\"\n"), expected(&["/state"]));
    }

    #[test]
    fn certificates_are_read_with_their_directory_unless_that_is_the_root() {
        let read = |file: &str| paths(json!([]), None, "", &[("SSL_CERT_FILE", file)]).read;
        let with_directory = read("/certs/ca.crt");
        assert!(with_directory.contains(Path::new("/certs")) && with_directory.contains(Path::new("/certs/ca.crt")));
        let in_the_root = read("/ca.crt");
        assert!(in_the_root.contains(Path::new("/ca.crt")) && !in_the_root.contains(Path::new("/")));
    }
}
