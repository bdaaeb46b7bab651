//! Identity tokens: docker keeps one in the place of a password where a registry's login is by browser. It is exchanged for an
//! access token at the registry's token service, by OAuth 2.0
//! (<https://distribution.github.io/distribution/spec/auth/oauth/>).

use std::time::Duration;

use http_auth::parse_challenges;
use reqwest::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use serde::Deserialize;
use url::form_urlencoded;

use super::registry::chain;

/// An answer of a token service holds one token of a few KiB.
const MAX_ANSWER_BYTES: usize = 256 << 10;
/// Of each of the two requests.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What an access token is wanted for.
pub(super) struct Access<'a> {
    /// `https://HOST[:PORT]/v2/`, or the same with `http`.
    pub(super) registry: String,
    /// `repository:NAME:ACTIONS`.
    pub(super) scope: String,
    pub(super) identity_token: &'a str,
}

/// Why there is no access token. Nothing of the tokens is in the text.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExchangeError {
    #[error("{0}")]
    Request(String),
    #[error("docker's configuration has an identity token, and this registry takes a user and a password only")]
    NotSupported,
    #[error("its token service {0:?} is not reached by TLS, so no identity token is sent there")]
    Insecure(String),
    #[error("the token service at {host} refused the identity token with status {status}; log in again")]
    Refused { host: String, status: u16 },
    #[error("the answer of the token service at {0} is not an access token")]
    Answer(String),
}

/// The token service that a registry names.
#[derive(Debug, Eq, PartialEq)]
struct Service {
    realm: Url,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    /// The name in OAuth 2.0; `token` is the older one.
    #[serde(alias = "token")]
    access_token: String,
}

impl Access<'_> {
    /// Gets an access token; `None` where the registry asks for none.
    pub(super) async fn token(&self) -> Result<Option<String>, ExchangeError> {
        // A redirect would take the token to another server.
        let client = Client::builder().redirect(Policy::none()).timeout(TIMEOUT).build().map_err(failed)?;
        let asked = client.get(&self.registry).send().await.map_err(failed)?;
        let headers = asked.headers().get_all(WWW_AUTHENTICATE).iter();
        let challenges: Vec<&str> = headers.filter_map(|value| value.to_str().ok()).collect();
        if challenges.is_empty() {
            return Ok(None);
        }
        let service = Service::of(&challenges).ok_or(ExchangeError::NotSupported)?;
        if service.realm.scheme() != "https" && !self.registry.starts_with("http://") {
            return Err(ExchangeError::Insecure(service.realm.to_string()));
        }
        let host = service.realm.host_str().unwrap_or_default().to_owned();
        let request = client.post(service.realm.clone()).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = request.body(self.form(&service)).send().await.map_err(failed)?;
        if !answer.status().is_success() {
            return Err(ExchangeError::Refused { host, status: answer.status().as_u16() });
        }
        let answer: Option<Answer> = serde_json::from_slice(&read(answer).await?).ok();
        answer.map(|answer| Some(answer.access_token)).ok_or(ExchangeError::Answer(host))
    }

    fn form(&self, service: &Service) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token").append_pair("client_id", "spin-oci");
        form.append_pair("scope", &self.scope).append_pair("refresh_token", self.identity_token);
        if let Some(name) = &service.name {
            form.append_pair("service", name);
        }
        form.finish()
    }
}

impl Service {
    /// The first one that these values of `WWW-Authenticate` name.
    fn of(challenges: &[&str]) -> Option<Self> {
        let parsed = challenges.iter().filter_map(|value| parse_challenges(value).ok()).flatten();
        parsed.filter(|challenge| challenge.scheme.eq_ignore_ascii_case("bearer")).find_map(|challenge| {
            let find = |name: &str| challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            let realm = Url::parse(&find("realm")?.1.to_unescaped()).ok()?;
            Some(Self { realm, name: find("service").map(|(_, value)| value.to_unescaped()) })
        })
    }
}

fn failed(error: reqwest::Error) -> ExchangeError {
    ExchangeError::Request(chain(&error))
}

async fn read(mut answer: Response) -> Result<Vec<u8>, ExchangeError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_ANSWER_BYTES {
            return Err(ExchangeError::Request(format!("a token service's answer has more than {MAX_ANSWER_BYTES} bytes")));
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_service_is_found_among_the_challenges() {
        let service =
            |realm: &str, name: Option<&str>| Some(Service { realm: Url::parse(realm).unwrap(), name: name.map(str::to_owned) });
        let bearer = "Bearer realm=\"https://a.io/token\",service=\"a.io\",scope=\"x\"";
        assert_eq!(Service::of(&[bearer]), service("https://a.io/token", Some("a.io")));
        assert_eq!(Service::of(&["Basic realm=\"a\"", "bearer Realm=\"https://b/t\""]), service("https://b/t", None));
        for other in ["Basic realm=\"a\"", "Bearer service=\"a\"", "Bearer realm=\"token\"", "=,=", ""] {
            assert_eq!(Service::of(&[other]), None, "{other}");
        }
    }

    #[test]
    fn form_has_the_token_encoded() {
        let access = Access { registry: String::new(), scope: "repository:a/b:pull".to_owned(), identity_token: "x&y" };
        let service = Service { realm: Url::parse("https://a.io").unwrap(), name: Some("a.io".to_owned()) };
        let form = "grant_type=refresh_token&client_id=spin-oci&scope=repository%3Aa%2Fb%3Apull&refresh_token=x%26y&service=a.io";
        assert_eq!(access.form(&service), form);
    }
}
