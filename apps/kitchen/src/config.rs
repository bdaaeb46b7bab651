//! How long cooking takes.

use std::time::Duration;

use thiserror::Error;

/// A day: who cooks longer has mistyped.
const LONGEST: f64 = 24.0 * 60.0 * 60.0;

/// `cooking_seconds` is not a time that can be cooked for.
#[derive(Debug, Error, PartialEq)]
#[error("cooking_seconds must be a number from 0 to {LONGEST}, not {0:?}")]
pub struct CookingTimeError(String);

/// Reads the value of the variable `cooking_seconds`; fractions are fine.
pub fn cooking_time(text: &str) -> Result<Duration, CookingTimeError> {
    match text.trim().parse::<f64>() {
        // A NaN is in no range.
        Ok(seconds) if (0.0..=LONGEST).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(CookingTimeError(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_and_broken_seconds_are_read() {
        for (text, millis) in [("5", 5000), ("0", 0), ("0.25", 250), (" 10 ", 10_000), ("86400", 86_400_000)] {
            assert_eq!(cooking_time(text), Ok(Duration::from_millis(millis)), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_sensible_time_is_named_in_the_error() {
        for text in ["", "five", "-1", "NaN", "inf", "86401", "1e300", "5s"] {
            let error = cooking_time(text).unwrap_err().to_string();
            assert!(error.ends_with(&format!("not {text:?}")), "{error}");
        }
    }
}
