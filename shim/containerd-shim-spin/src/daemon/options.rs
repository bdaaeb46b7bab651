//! The runtime's options, as containerd's configuration has them for this shim.
//!
//! | message | sent by |
//! |---|---|
//! | `runtimeoptions.v1.Options` | CRI, for every runtime type but runc's: the options' table as TOML |
//! | `containerd.runc.v1.Options` | CRI for runc's type with `runtime_path`, and clients that configure us as a runc |

use std::fs;
use std::io;

use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{self, CodedInputStream, Message, rt::WireType};
use containerd_shim_protos::shim::oci;
use serde::Deserialize;

/// The options that are used; containerd's configuration may have further ones, such as `BinaryName`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default)]
pub struct RuntimeOptions {
    /// Whether systemd makes the cgroups, whose paths are in its notation then.
    #[serde(rename = "SystemdCgroup")]
    pub systemd_cgroup: bool,
    /// The cgroup of the daemon itself, which is there; empty: that of containerd.
    #[serde(rename = "ShimCgroup")]
    pub shim_cgroup: String,
}

/// Why options can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// Not the message that its type says.
    #[error("the runtime's options are malformed: {0}")]
    Message(#[from] protobuf::Error),
    /// The file that the options name.
    #[error("the runtime's options in {path}: {source}")]
    File {
        /// Its path on the node.
        path: String,
        /// The system's answer.
        source: io::Error,
    },
    /// Not the table of a runtime's options.
    #[error("the runtime's options are no TOML table of options: {}", .0.message())]
    Table(#[from] toml::de::Error),
    /// Meant for another runtime.
    #[error("the runtime's options are of type {0:?}, which is not known here")]
    Unknown(String),
}

impl RuntimeOptions {
    /// Reads what a task is created with.
    pub fn read(options: Option<&Any>) -> Result<Self, OptionsError> {
        let Some(options) = options.filter(|options| !options.type_url.is_empty()) else { return Ok(Self::default()) };
        match type_of(options) {
            GENERIC => Generic::parse(&options.value)?.table(),
            RUNC => {
                let oci::Options { systemd_cgroup, shim_cgroup, .. } = oci::Options::parse_from_bytes(&options.value)?;
                Ok(Self { systemd_cgroup, shim_cgroup })
            }
            other => Err(OptionsError::Unknown(other.to_owned())),
        }
    }

    /// Whether a message has the options that CRI sends to every runtime type but runc's.
    pub fn are_generic(message: &Any) -> bool {
        type_of(message) == GENERIC
    }

    /// Whether a message has options of a runtime.
    pub fn are_in(message: &Any) -> bool {
        [GENERIC, RUNC].contains(&type_of(message))
    }
}

const GENERIC: &str = "runtimeoptions.v1.Options";
const RUNC: &str = "containerd.runc.v1.Options";

/// Types may be written as URLs.
fn type_of(message: &Any) -> &str {
    message.type_url.rsplit('/').next().unwrap_or_default()
}

/// `runtimeoptions.v1.Options`, of which the protocol's library has no type.
#[derive(Default)]
struct Generic {
    config_path: String,
    config_body: Vec<u8>,
}

impl Generic {
    fn parse(message: &[u8]) -> protobuf::Result<Self> {
        let (mut options, mut input) = (Self::default(), CodedInputStream::from_bytes(message));
        while let Some(tag) = input.read_raw_tag_or_eof()? {
            let (field, kind) = (tag >> 3, WireType::new(tag & 7));
            match (field, kind) {
                (2, Some(WireType::LengthDelimited)) => options.config_path = input.read_string()?,
                (3, Some(WireType::LengthDelimited)) => options.config_body = input.read_bytes()?,
                // 1 is the table's own type, which containerd knows and we need not.
                _ => protobuf::rt::skip_field_for_tag(tag, &mut input)?,
            }
        }
        Ok(options)
    }

    /// The body, where there is one; else what the file has.
    fn table(self) -> Result<RuntimeOptions, OptionsError> {
        let Self { config_path: path, config_body } = self;
        let text = match config_body.is_empty() && !path.is_empty() {
            true => fs::read(&path).map_err(|source| OptionsError::File { path, source })?,
            false => config_body,
        };
        Ok(toml::from_slice(&text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use containerd_shim_protos::protobuf::CodedOutputStream;

    fn any(type_url: &str, value: Vec<u8>) -> Any {
        Any { type_url: type_url.to_owned(), value, ..Any::default() }
    }

    /// As containerd encodes it.
    fn generic(path: &str, body: &str) -> Any {
        let mut message = Vec::new();
        {
            let mut output = CodedOutputStream::vec(&mut message);
            output.write_string(1, "containerd.runc.v1.Options").expect("written");
            output.write_string(2, path).expect("written");
            output.write_bytes(3, body.as_bytes()).expect("written");
            output.flush().expect("written");
        }
        any("runtimeoptions.v1.Options", message)
    }

    fn systemd(options: &Any) -> bool {
        RuntimeOptions::read(Some(options)).expect("good options").systemd_cgroup
    }

    #[test]
    fn the_cgroup_driver_is_read_from_the_table_that_cri_sends() {
        assert!(systemd(&generic("", "BinaryName = \"/bin/shim\"\nSystemdCgroup = true\n")));
        assert!(!systemd(&generic("", "SystemdCgroup = false\n")));
        assert!(!systemd(&generic("", "")));
        assert!(systemd(&any("types.containerd.io/runtimeoptions.v1.Options", generic("", "SystemdCgroup = true").value)));
    }

    #[test]
    fn the_cgroup_driver_is_read_from_runcs_options() {
        let options = oci::Options { systemd_cgroup: true, ..oci::Options::default() };
        assert!(systemd(&any("containerd.runc.v1.Options", options.write_to_bytes().expect("encodes"))));
        assert_eq!(RuntimeOptions::read(None).expect("none"), RuntimeOptions::default());
    }

    #[test]
    fn the_daemons_cgroup_is_read_from_either_message() {
        let runc = oci::Options { shim_cgroup: "/shims".to_owned(), ..oci::Options::default() };
        let runc = any("containerd.runc.v1.Options", runc.write_to_bytes().expect("encodes"));
        for options in [runc, generic("", "ShimCgroup = \"/shims\"")] {
            assert!(RuntimeOptions::are_in(&options));
            assert_eq!(RuntimeOptions::read(Some(&options)).expect("good options").shim_cgroup, "/shims");
        }
        assert!(!RuntimeOptions::are_in(&any("containerd.io/nri.v1.PluginConfig", vec![])));
    }

    #[test]
    fn a_file_is_read_where_the_options_name_one() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "SystemdCgroup = true").expect("written");
        let path = file.path().to_str().expect("a path of text");
        assert!(systemd(&generic(path, "")));
        assert!(!systemd(&generic(path, "SystemdCgroup = false")), "the body counts");
        let error = RuntimeOptions::read(Some(&generic("/is/not/there", ""))).expect_err("no file");
        assert!(error.to_string().contains("/is/not/there"), "{error}");
    }

    #[test]
    fn bad_options_are_refused_with_the_reason() {
        let reason = |options: &Any| RuntimeOptions::read(Some(options)).expect_err("bad").to_string();
        assert!(reason(&generic("", "SystemdCgroup = \"yes\"")).contains("expected a boolean"));
        assert!(reason(&generic("", "SystemdCgroup")).contains("TOML"));
        assert!(reason(&any("runtimeoptions.v1.Options", vec![0x1a, 0xff])).contains("malformed"));
        assert!(reason(&any("io.example.Options", vec![])).contains("io.example.Options"));
    }
}
