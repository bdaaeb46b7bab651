//! What an app writes about its HTTP triggers.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::Error;

/// `[application.trigger.http]`; keys that other hosts may know are ignored, as they always were.
#[derive(Debug, Default, Deserialize)]
struct AppSettings {
    base: Option<String>,
}

/// `[[trigger.http]]` as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    route: WrittenRoute,
    component: Option<String>,
    static_response: Option<WrittenResponse>,
    executor: Option<Executor>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "route must be a path or { private = true }")]
enum WrittenRoute {
    Path(String),
    Private(Private),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Private {
    private: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "type")]
enum Executor {
    #[serde(alias = "spin")]
    Http,
    Wagi {
        #[serde(rename = "argv")]
        _argv: Option<String>,
        #[serde(rename = "entrypoint")]
        _entrypoint: Option<String>,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenResponse {
    status_code: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
}

/// One HTTP trigger, checked.
#[derive(Debug)]
pub(crate) struct Trigger {
    /// The trigger's id, for messages.
    pub id: String,
    /// The pattern as written; none for a private component, which only other components can reach.
    pub route: Option<String>,
    /// Who answers.
    pub target: Target,
}

/// Who answers a request.
#[derive(Debug)]
pub(crate) enum Target {
    /// The component of this id.
    Component(String),
    /// The host, always the same.
    Static(StaticResponse),
}

/// An answer written in the manifest.
#[derive(Clone, Debug)]
pub(crate) struct StaticResponse {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

/// Checks the settings of the app: a base path is refused, except `/`, which has always meant nothing.
pub(crate) fn check_app(metadata: Option<&Value>) -> Result<(), Error> {
    let Some(metadata) = metadata else { return Ok(()) };
    let settings = AppSettings::deserialize(metadata).map_err(Error::AppSettings)?;
    match settings.base.as_deref() {
        None => Ok(()),
        Some("/") => {
            log::warn!("the HTTP trigger's setting base = \"/\" is deprecated and has no effect");
            Ok(())
        }
        Some(base) => Err(Error::Base(base.to_owned())),
    }
}

impl Trigger {
    /// Reads the settings of one trigger.
    pub fn parse(id: &str, config: &Value) -> Result<Self, Error> {
        let written = Written::deserialize(config).map_err(|source| Error::Trigger { trigger: id.to_owned(), source })?;
        if let Some(Executor::Wagi { .. }) = written.executor {
            return Err(Error::Wagi { trigger: id.to_owned() });
        }
        let route = match written.route {
            WrittenRoute::Path(path) => Some(path),
            WrittenRoute::Private(Private { private: true }) => None,
            WrittenRoute::Private(_) => return Err(Error::NotPrivate { trigger: id.to_owned() }),
        };
        let target = match (written.component, written.static_response) {
            (Some(component), None) => Target::Component(component),
            (None, Some(response)) => Target::Static(response.check(id)?),
            (None, None) => return Err(Error::Target { trigger: id.to_owned(), found: "neither component nor static_response" }),
            (Some(_), Some(_)) => {
                return Err(Error::Target { trigger: id.to_owned(), found: "both component and static_response" });
            }
        };
        Ok(Self { id: id.to_owned(), route, target })
    }
}

impl WrittenResponse {
    fn check(self, trigger: &str) -> Result<StaticResponse, Error> {
        let malformed = |reason: http::Error| Error::StaticResponse { trigger: trigger.to_owned(), reason };
        let status = StatusCode::from_u16(self.status_code.unwrap_or(200)).map_err(|error| malformed(error.into()))?;
        let mut headers = http::HeaderMap::new();
        for (name, value) in self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| malformed(error.into()))?;
            headers.append(name, HeaderValue::from_str(&value).map_err(|error| malformed(error.into()))?);
        }
        Ok(StaticResponse { status, headers, body: self.body.unwrap_or_default().into() })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(config: Value) -> String {
        Trigger::parse("t", &config).expect_err("must be refused").to_string()
    }

    #[test]
    fn a_component_with_a_route_is_accepted_in_every_spelling_of_the_default_executor() {
        for executor in [json!(null), json!({"type": "http"}), json!({"type": "spin"})] {
            let trigger = Trigger::parse("t", &json!({"route": "/a", "component": "c", "executor": executor})).expect("valid");
            assert_eq!(trigger.route.as_deref(), Some("/a"));
            assert!(matches!(trigger.target, Target::Component(id) if id == "c"));
        }
    }

    #[test]
    fn a_private_route_has_no_pattern() {
        let trigger = Trigger::parse("t", &json!({"route": {"private": true}, "component": "c"})).expect("valid");
        assert_eq!(trigger.route, None);
        assert!(refusal(json!({"route": {"private": false}, "component": "c"})).contains("private = false"));
    }

    #[test]
    fn both_or_neither_target_is_refused() {
        let both = json!({"route": "/", "component": "c", "static_response": {}});
        assert!(refusal(both).contains("both component and static_response"));
        assert!(refusal(json!({"route": "/"})).contains("neither"));
    }

    #[test]
    fn an_unknown_field_is_named() {
        assert!(refusal(json!({"route": "/", "component": "c", "rout": 1})).contains("`rout`"));
        assert!(refusal(json!({"route": 1, "component": "c"})).contains("route must be a path"));
        assert!(refusal(json!({"component": "c"})).contains("`route`"));
    }

    #[test]
    fn wagi_is_refused_with_its_name() {
        let config = json!({"route": "/", "component": "c", "executor": {"type": "wagi", "argv": "x"}});
        assert!(refusal(config).contains("wagi"));
    }

    #[test]
    fn a_static_response_defaults_to_an_empty_200_and_is_checked() {
        let trigger = Trigger::parse("t", &json!({"route": "/", "static_response": {}})).expect("valid");
        assert!(matches!(trigger.target, Target::Static(r) if r.status == 200 && r.body.is_empty()));
        assert!(refusal(json!({"route": "/", "static_response": {"status_code": 99}})).contains("status code"));
        assert!(refusal(json!({"route": "/", "static_response": {"headers": {"a b": ""}}})).contains("header name"));
    }

    #[test]
    fn only_a_base_of_a_slash_is_tolerated() {
        assert!(check_app(None).is_ok());
        assert!(check_app(Some(&json!({}))).is_ok());
        assert!(check_app(Some(&json!({"base": "/"}))).is_ok());
        let error = check_app(Some(&json!({"base": "/v1"}))).expect_err("must be refused");
        assert_eq!((error.exit_code(), error.to_string().contains("/v1")), (64, true));
    }
}
