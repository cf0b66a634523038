//! How [`Time`] is written in the Platform API's JSON: `"2026-02-19T08:00:00Z"`.
//!
//! Use as `#[serde(with = "rfc3339")]`, or [`option`] where the time may be `null`. In the
//! database and between rooms a [`Time`] is a number; only the resources here say it in words.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

use crate::clock::Time;

/// Writes the time with whole seconds in UTC.
pub fn serialize<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

/// Reads any RFC 3339 time.
///
/// # Errors
/// When the text is no such time.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

fn parse(text: &str) -> Result<Time, jiff::Error> {
    text.parse::<jiff::Timestamp>()
        .map(|at| Time::from_micros(at.as_microsecond()))
}

/// The same for a time that may be `null`.
pub mod option {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::clock::Time;

    /// Writes the time, or `null`.
    pub fn serialize<S: Serializer>(time: &Option<Time>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.collect_str(time),
            None => serializer.serialize_none(),
        }
    }

    /// Reads any RFC 3339 time, or `null`.
    ///
    /// # Errors
    /// When the text is no such time.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Time>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| super::parse(&text).map_err(D::Error::custom))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use crate::clock::Time;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Both {
        #[serde(with = "super")]
        at: Time,
        #[serde(with = "super::option")]
        maybe: Option<Time>,
    }

    fn check(both: &Both, json: &str) {
        assert_eq!(serde_json::to_string(both).unwrap(), json);
        assert_eq!(serde_json::from_str::<Both>(json).unwrap(), *both);
    }

    #[test]
    fn times_are_written_in_words_and_read_back() {
        let at = Time::from_micros(1_771_488_000_000_000);
        check(
            &Both { at, maybe: None },
            r#"{"at":"2026-02-19T08:00:00Z","maybe":null}"#,
        );
        check(
            &Both {
                at,
                maybe: Some(at),
            },
            r#"{"at":"2026-02-19T08:00:00Z","maybe":"2026-02-19T08:00:00Z"}"#,
        );
    }
}
