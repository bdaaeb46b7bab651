//! Credentials from docker's configuration: written there, or kept by a helper.

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;

use crate::OciError;

/// Docker Hub goes by an address of its own in the configuration.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// What a helper gives for a user name where the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// What is known of a registry.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Credentials {
    /// Anonymous without.
    pub(super) login: Option<Login>,
    /// Why there is no login although there could be: shown where the registry refuses.
    pub(super) note: Option<String>,
}

/// How one proves who one is.
#[derive(Eq, PartialEq)]
pub(super) enum Login {
    /// User and password.
    Password(String, String),
    /// A token that the registry's token service exchanges for access tokens.
    Identity(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(..) => "Password",
            Self::Identity(_) => "Identity",
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: BTreeMap<String, Auth>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

/// What a helper answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Secret {
    username: String,
    secret: String,
}

/// Looks a registry up in docker's configuration of this user.
pub(super) fn find(registry: &str) -> Result<Credentials, OciError> {
    let directory = env::var_os("DOCKER_CONFIG").filter(|directory| !directory.is_empty()).map(PathBuf::from);
    let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".docker"));
    match directory.or_else(home) {
        Some(directory) => find_in(&directory.join("config.json"), registry),
        None => Ok(Credentials::default()),
    }
}

fn find_in(path: &Path, registry: &str) -> Result<Credentials, OciError> {
    let failed = |reason: String| OciError::Credentials { path: path.to_owned(), reason };
    let text = match fs::read(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Credentials::default()),
        read => read.map_err(|error| failed(error.to_string()))?,
    };
    // Nothing of the file is repeated in a message.
    let config: Config = serde_json::from_slice(&text)
        .map_err(|error| failed(format!("is not docker's configuration (line {}, column {})", error.line(), error.column())))?;
    let helper = config.cred_helpers.iter().find(|(key, _)| same(key, registry)).map(|(_, helper)| helper);
    let mut found = Credentials::default();
    if let Some(helper) = helper.or(config.creds_store.as_ref()).filter(|helper| !helper.is_empty()) {
        found = ask(helper, registry).map_err(failed)?;
    }
    if found.login.is_none()
        && let Some((_, auth)) = config.auths.iter().find(|(key, _)| same(key, registry))
    {
        found.login = login(auth).map_err(|reason| failed(format!("the entry of {registry} {reason}")))?;
    }
    Ok(found)
}

/// Keys are hosts, or addresses with a scheme and a path.
fn same(key: &str, registry: &str) -> bool {
    let host = |text: &str| {
        let text = text.trim_start_matches("https://").trim_start_matches("http://");
        let host = text.split('/').next().unwrap_or_default().to_ascii_lowercase();
        if host == "docker.io" { "index.docker.io".to_owned() } else { host }
    };
    host(key) == host(registry)
}

fn login(auth: &Auth) -> Result<Option<Login>, &'static str> {
    // As for docker: it counts before a password, which is often empty beside it.
    if let Some(token) = auth.identitytoken.as_ref().filter(|token| !token.is_empty()) {
        return Ok(Some(Login::Identity(token.clone())));
    }
    if let (Some(user), Some(password)) = (&auth.username, &auth.password) {
        return Ok(Some(Login::Password(user.clone(), password.clone())));
    }
    let Some(encoded) = auth.auth.as_deref().filter(|encoded| !encoded.is_empty()) else { return Ok(None) };
    let decoded = BASE64_STANDARD.decode(encoded.trim()).map_err(|_| "is not base64")?;
    let decoded = String::from_utf8(decoded).map_err(|_| "is not UTF-8")?;
    let (user, password) = decoded.split_once(':').ok_or("is not a user and a password")?;
    // Old versions of docker ended the password with a NUL.
    let password = password.trim_end_matches('\0');
    Ok((!password.is_empty()).then(|| Login::Password(user.to_owned(), password.to_owned())))
}

/// Runs `docker-credential-<helper> get`.
fn ask(helper: &str, registry: &str) -> Result<Credentials, String> {
    if helper.contains(['/', '\0']) {
        return Err(format!("{helper:?} is not the name of a credential helper"));
    }
    let program = format!("docker-credential-{helper}");
    let note = |text: String| Ok(Credentials { login: None, note: Some(text) });
    let child = Command::new(&program).arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = match child {
        Err(error) => return note(format!("{program}, which docker's configuration names, can't be run: {error}")),
        Ok(child) => child,
    };
    let server = if same("docker.io", registry) { DOCKER_HUB } else { registry };
    if let Some(mut input) = child.stdin.take() {
        // A helper that does not read its input answers nothing either.
        let _ = input.write_all(server.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        // By the protocol the reason is on stdout, and having nothing is one of them.
        let reason = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        return note(format!("{program} has no credentials for {server}: {reason}"));
    }
    let secret: Secret =
        serde_json::from_slice(&output.stdout).map_err(|_| format!("{program} answered with something else than credentials"))?;
    let login = match secret.username.as_str() {
        TOKEN_USER => Login::Identity(secret.secret),
        _ => Login::Password(secret.username, secret.secret),
    };
    Ok(Credentials { login: Some(login), note: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_with(config: &str, registry: &str) -> Result<Credentials, OciError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        fs::write(&path, config).unwrap();
        find_in(&path, registry)
    }

    fn login_of(config: &str, registry: &str) -> Option<Login> {
        find_with(config, registry).unwrap().login
    }

    const LOGIN: &str = "dXNlcjpzZWNyZXQ6MQ=="; // user:secret:1

    #[test]
    fn nothing_is_found_without_a_configuration() {
        assert_eq!(find_in(Path::new("/nonexistent/config.json"), "a.io").unwrap(), Credentials::default());
        assert_eq!(find_with("{}", "a.io").unwrap(), Credentials::default());
    }

    #[test]
    fn a_registry_is_known_by_its_host_however_it_is_written() {
        let expected = Some(Login::Password("user".to_owned(), "secret:1".to_owned()));
        for key in ["a.io:5000", "https://a.io:5000", "http://A.io:5000/v2/"] {
            assert_eq!(login_of(&format!(r#"{{"auths":{{"{key}":{{"auth":"{LOGIN}"}}}}}}"#), "a.io:5000"), expected, "{key}");
        }
        let hub = format!(r#"{{"auths":{{"{DOCKER_HUB}":{{"auth":"{LOGIN}"}}}}}}"#);
        assert_eq!(login_of(&hub, "index.docker.io"), expected);
        assert_eq!(login_of(&hub, "a.io"), None);
    }

    #[test]
    fn identity_token_counts_before_the_password_unless_it_is_empty() {
        let entry = |fields: &str| login_of(&format!(r#"{{"auths":{{"a.io":{{{fields}}}}}}}"#), "a.io");
        let token = Some(Login::Identity("token".to_owned()));
        assert_eq!(entry(r#""identitytoken":"token""#), token);
        // `00000000-0000-0000-0000-000000000000:`, as `az acr login` writes it.
        let azure = "MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwOg==";
        assert_eq!(entry(&format!(r#""auth":"{azure}","identitytoken":"token""#)), token);
        assert_eq!(entry(&format!(r#""auth":"{azure}""#)), None);
        let password = Some(Login::Password("user".to_owned(), "secret:1".to_owned()));
        assert_eq!(entry(&format!(r#""auth":"{LOGIN}","identitytoken":"""#)), password);
    }

    #[test]
    fn a_malformed_configuration_is_told_without_what_is_in_it() {
        for config in ["{\"auths\":{\"a.io\":{\"auth\":\"topsecret!\"}}}", "{\"auths\": topsecret}", "[\"topsecret\"]"] {
            let said = find_with(config, "a.io").unwrap_err().to_string();
            assert!(said.contains("config.json") && !said.contains("topsecret"), "{said}");
        }
    }

    #[test]
    fn a_helper_that_is_missing_is_remembered() {
        let found = find_with(r#"{"credsStore":"not-installed-here"}"#, "a.io").unwrap();
        assert!(found.note.unwrap().contains("docker-credential-not-installed-here"));
        assert!(find_with(r#"{"credsStore":"../../bin/sh"}"#, "a.io").is_err());
    }
}
