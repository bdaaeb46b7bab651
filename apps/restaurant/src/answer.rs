//! An HTTP answer before it is handed to the host.

use serde::Serialize;
use serde_json::json;

use crate::refusal::Refusal;

/// Status, headers and body. The body is always JSON.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// JSON and a line end, which keeps a terminal's prompt on its own line.
    pub body: String,
}

impl Answer {
    /// An answer with that value as its body.
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        // Only maps with keys that are not strings, or a failing Serialize, could fail: no answer of ours has either.
        let body = serde_json::to_string(value).expect("answers are plain data") + "\n";
        let headers = vec![("content-type", "application/json".into()), ("content-length", body.len().to_string())];
        Self { status, headers, body }
    }

    /// The same with one more header.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let answer = Self::json(refusal.status(), &json!({ "error": refusal.to_string() }));
        match refusal.header() {
            Some((name, value)) => answer.with(name, value),
            None => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::menu::MENU;

    #[test]
    fn the_menu_is_an_array_of_names_and_prices() {
        let answer = Answer::json(200, &MENU);
        assert!(answer.body.starts_with(r#"[{"name":"PIZZA","price":25},{"name":"CARBONARA","price":18},"#));
        assert!(answer.headers.contains(&("content-type", "application/json".into())));
    }

    #[test]
    fn every_refusal_is_json_with_an_error() {
        let answer = Answer::from(Refusal::NotOnTheMenu("S\"USHI".into()));
        assert_eq!((answer.status, answer.body.as_str()), (404, "{\"error\":\"S\\\"USHI is not on the menu\"}\n"));
    }

    #[test]
    fn a_wrong_method_tells_the_right_ones() {
        let answer = Answer::from(Refusal::WrongMethod { allow: "GET, HEAD" });
        assert_eq!(answer.status, 405);
        assert!(answer.headers.contains(&("allow", "GET, HEAD".into())));
    }

    #[test]
    fn without_redis_the_guest_is_asked_to_come_back() {
        let answer = Answer::from(Refusal::RedisAway);
        assert_eq!(answer.status, 503);
        assert!(answer.headers.iter().any(|(name, _)| *name == "retry-after"));
    }
}
