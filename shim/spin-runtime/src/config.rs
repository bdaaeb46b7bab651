//! `runtime-config.toml`: what the people who run an app configure, as opposed to those who wrote it.
//!
//! A key nobody knows is an error that names it, and so is one that is known but not supported yet: neither is ever ignored.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use spin_app::outbound::Cidr;

use crate::RuntimeError;
use crate::host::variables::env_name;
use crate::network::BlockedNetworks;

mod dotenv;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuntimeConfig {
    #[serde(default, deserialize_with = "non_empty")]
    pub(crate) state_dir: Option<String>,
    #[serde(default, deserialize_with = "non_empty")]
    log_dir: Option<String>,
    pub(crate) max_instance_memory: Option<u64>,
    #[serde(default, alias = "config_provider", rename = "variables_provider")]
    pub(crate) providers: Vec<Provider>,
    #[serde(default, rename = "key_value_store")]
    pub(crate) key_value_stores: BTreeMap<String, KeyValueStore>,
    #[serde(default)]
    pub(crate) outbound_http: OutboundHttp,
    #[serde(default)]
    pub(crate) outbound_networking: OutboundNetworking,
    llm_compute: Option<Llm>,
    #[serde(flatten)]
    unsupported: Unsupported,
}

/// Sections that are known, and refused.
#[derive(Debug, Default, Deserialize)]
struct Unsupported {
    sqlite_database: Option<toml::Table>,
    outbound_redis: Option<toml::Table>,
    outbound_pg: Option<toml::Table>,
    outbound_mysql: Option<toml::Table>,
    outbound_mqtt: Option<toml::Table>,
    client_tls: Option<toml::Value>,
}

/// Where values of variables come from.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Provider {
    /// From the file itself.
    Static {
        values: BTreeMap<String, String>,
    },
    /// From the environment, and from a file like one.
    Env {
        #[serde(default, deserialize_with = "non_empty")]
        prefix: Option<String>,
        dotenv_path: Option<PathBuf>,
        #[serde(skip)]
        dotenv: BTreeMap<String, String>,
    },
    Vault(Elsewhere),
    AzureKeyVault(Elsewhere),
}

/// Where a key-value store keeps its data.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum KeyValueStore {
    /// In an SQLite file.
    Spin {
        path: Option<PathBuf>,
    },
    /// In a Redis server.
    Redis {
        url: String,
    },
    AzureCosmos(Elsewhere),
    AwsDynamo(Elsewhere),
}

/// The settings of what is known but refused, whatever they are.
#[derive(Debug, Deserialize)]
pub(crate) struct Elsewhere {}

/// How components send HTTP requests.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutboundHttp {
    #[serde(default = "yes")]
    pub(crate) connection_pooling: bool,
    #[serde(alias = "max_connections")]
    pub(crate) max_concurrent_requests: Option<usize>,
}

impl Default for OutboundHttp {
    fn default() -> Self {
        Self { connection_pooling: true, max_concurrent_requests: None }
    }
}

/// What components may not connect to.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutboundNetworking {
    #[serde(default)]
    block_networks: Vec<String>,
    max_socket_connections: Option<toml::Value>,
    max_total_connections: Option<toml::Value>,
}

impl OutboundNetworking {
    /// Each entry is a network, as `10.0.0.0/8`, or the word `private`.
    pub(crate) fn blocked(&self) -> Result<BlockedNetworks, RuntimeError> {
        let mut blocked = BlockedNetworks::default();
        for entry in &self.block_networks {
            match entry.as_str() {
                "private" => blocked.private = true,
                text => blocked.networks.push(Cidr::parse(text).ok_or_else(|| {
                    RuntimeError::RuntimeConfig(format!(
                        "block_networks: {text:?} is neither a network, as \"10.0.0.0/8\", nor \"private\""
                    ))
                })?),
            }
        }
        Ok(blocked)
    }
}

#[derive(Debug, Deserialize)]
struct Llm {
    r#type: String,
}

fn yes() -> bool {
    true
}

fn non_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()))
}

impl RuntimeConfig {
    /// Reads the file's text, and the files it names.
    pub(crate) fn parse(text: &str) -> Result<Self, RuntimeError> {
        let mut config: Self = toml::from_str(text).map_err(|error| malformed(text, &error))?;
        config.refuse_unsupported()?;
        for provider in &mut config.providers {
            provider.load()?;
        }
        Ok(config)
    }

    fn refuse_unsupported(&self) -> Result<(), RuntimeError> {
        let Unsupported { sqlite_database, outbound_redis, outbound_pg, outbound_mysql, outbound_mqtt, client_tls } =
            &self.unsupported;
        // A language model of type "spin" is what upstream's shim has: none.
        let llm = self.llm_compute.as_ref().is_some_and(|llm| llm.r#type != "spin");
        let present = [
            ("log_dir", self.log_dir.is_some()),
            ("llm_compute", llm),
            ("sqlite_database", sqlite_database.is_some()),
            ("outbound_networking.max_socket_connections", self.outbound_networking.max_socket_connections.is_some()),
            ("outbound_networking.max_total_connections", self.outbound_networking.max_total_connections.is_some()),
            ("outbound_redis", outbound_redis.is_some()),
            ("outbound_pg", outbound_pg.is_some()),
            ("outbound_mysql", outbound_mysql.is_some()),
            ("outbound_mqtt", outbound_mqtt.is_some()),
            ("client_tls", client_tls.is_some()),
        ];
        match present.iter().find(|(_, present)| *present) {
            Some((key, _)) => Err(not_yet(&format!("`{key}`"))),
            None => Ok(()),
        }
    }
}

impl Provider {
    fn load(&mut self) -> Result<(), RuntimeError> {
        match self {
            Self::Static { .. } | Self::Env { dotenv_path: None, .. } => Ok(()),
            Self::Env { dotenv_path: Some(path), dotenv, .. } => {
                let text = std::fs::read_to_string(&*path);
                let text =
                    text.map_err(|error| RuntimeError::RuntimeConfig(format!("dotenv_path {}: {error}", path.display())))?;
                *dotenv = dotenv::parse(&text);
                Ok(())
            }
            Self::Vault(_) => Err(not_yet("the variables provider \"vault\"")),
            Self::AzureKeyVault(_) => Err(not_yet("the variables provider \"azure_key_vault\"")),
        }
    }

    /// The file that it reads.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::Env { dotenv_path, .. } => dotenv_path.as_deref(),
            Self::Static { .. } | Self::Vault(_) | Self::AzureKeyVault(_) => None,
        }
    }

    /// The variable's value, if it has one here; `env` looks into the environment.
    pub(crate) fn get(&self, name: &str, env: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        match self {
            Self::Static { values } => values.get(name).cloned(),
            Self::Env { prefix, dotenv, .. } => {
                let name = env_name(prefix.as_deref().unwrap_or("SPIN_VARIABLE"), name);
                env(&name).or_else(|| dotenv.get(&name).cloned())
            }
            Self::Vault(_) | Self::AzureKeyVault(_) => None,
        }
    }
}

/// The sentence about what exists elsewhere, but not here.
pub(crate) fn not_yet(what: &str) -> RuntimeError {
    RuntimeError::RuntimeConfig(format!("{what} is not supported by this shim yet"))
}

/// The parser's words with the line, without the excerpt: it could show a secret.
fn malformed(text: &str, error: &toml::de::Error) -> RuntimeError {
    let line = error.span().and_then(|span| text.get(..span.start)).map(|before| before.matches('\n').count() + 1);
    let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
    RuntimeError::RuntimeConfig(format!("{line}{}", error.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        RuntimeConfig::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_is_named() {
        assert!(error("state_dri = \"x\"").contains("`state_dri`"));
        assert!(error("[key_value_store.a]\ntype = \"spin\"\npth = \"x\"").contains("`pth`"));
        assert!(error("[outbound_http]\npooling = true").contains("`pooling`"));
    }

    #[test]
    fn what_is_not_supported_yet_is_refused() {
        assert!(error("[sqlite_database.default]\ntype = \"spin\"").contains("`sqlite_database` is not supported"));
        assert!(error("[[variables_provider]]\ntype = \"vault\"\nurl = \"x\"").contains("\"vault\" is not supported"));
        assert!(error("[llm_compute]\ntype = \"remote_http\"").contains("`llm_compute`"));
        let text = "[outbound_networking]\nmax_total_connections = 5";
        assert!(error(text).contains("`outbound_networking.max_total_connections` is not supported"));
    }

    #[test]
    fn blocked_networks_are_read() {
        let blocked = |entries: &str| {
            let text = format!("[outbound_networking]\nblock_networks = {entries}");
            RuntimeConfig::parse(&text).unwrap().outbound_networking.blocked()
        };
        let networks = blocked(r#"["1.2.3.0/24", "private", "fd00::/8"]"#).unwrap();
        assert_eq!((networks.private, networks.networks.len()), (true, 2));
        assert!(!blocked("[]").unwrap().private);
        for entry in ["1.2.3.4", "Private", "10.0.0.0/33", "example.com", ""] {
            let sentence = blocked(&format!("[{entry:?}]")).unwrap_err().to_string();
            assert!(sentence.contains("block_networks") && sentence.contains(&format!("{entry:?}")), "{sentence}");
        }
    }

    #[test]
    fn an_empty_text_means_unset() {
        let config = RuntimeConfig::parse("state_dir = \"\"\nlog_dir = \"\"\n[llm_compute]\ntype = \"spin\"").unwrap();
        assert_eq!(config.state_dir, None);
    }

    #[test]
    fn a_secret_is_not_shown() {
        let error = error("[key_value_store.a]\ntype = \"redis\"\nurl = \"redis://:secret@host\"\nx = 1");
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn a_dotenv_file_stands_behind_the_environment() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "MY_A=file\nMY_B=file\n").unwrap();
        let text = format!("[[variables_provider]]\ntype = \"env\"\nprefix = \"MY\"\ndotenv_path = {:?}", file.path());
        let config = RuntimeConfig::parse(&text).unwrap();
        let env = |name: &str| (name == "MY_A").then(|| "env".to_owned());
        let get = |name| config.providers[0].get(name, &env);
        assert_eq!((get("a").as_deref(), get("b").as_deref(), get("c")), (Some("env"), Some("file"), None));
    }
}
