//! What an app writes about its Redis triggers.

use serde::Deserialize;
use serde_json::Value;

use crate::Error;

/// `[application.trigger.redis]`; keys that other hosts may know are ignored, as they always were.
#[derive(Debug, Default, Deserialize)]
struct AppSettings {
    address: Option<String>,
}

/// `[[trigger.redis]]`: address and channel are templates.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trigger {
    pub channel: String,
    pub component: String,
    pub address: Option<String>,
}

/// The address for triggers that have none of their own.
pub(crate) fn app_address(metadata: Option<&Value>) -> Result<Option<String>, Error> {
    let Some(metadata) = metadata else { return Ok(None) };
    Ok(AppSettings::deserialize(metadata).map_err(Error::AppSettings)?.address)
}

impl Trigger {
    pub fn parse(id: &str, config: &Value) -> Result<Self, Error> {
        Self::deserialize(config).map_err(|source| Error::Trigger { trigger: id.to_owned(), source })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_trigger_needs_a_channel_and_a_component() {
        let trigger = Trigger::parse("t", &json!({"channel": "c", "component": "k"})).expect("valid");
        assert_eq!((trigger.channel.as_str(), trigger.component.as_str(), trigger.address), ("c", "k", None));
        let error = Trigger::parse("t", &json!({"component": "k"})).expect_err("must be refused");
        assert_eq!((error.exit_code(), error.to_string().contains("`channel`")), (64, true));
    }

    #[test]
    fn an_unknown_field_is_named() {
        let error = Trigger::parse("t", &json!({"channel": "c", "component": "k", "chanel": 1})).expect_err("must be refused");
        assert!(error.to_string().contains("`chanel`"));
    }

    #[test]
    fn the_app_may_have_an_address_for_all_triggers() {
        assert_eq!(app_address(None).expect("valid"), None);
        assert_eq!(app_address(Some(&json!({"address": "a"}))).expect("valid").as_deref(), Some("a"));
        assert_eq!(app_address(Some(&json!({"address": 1}))).expect_err("must be refused").exit_code(), 64);
    }
}
