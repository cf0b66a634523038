//! What the operator says on the platform's status page: `/status/notes`. Landfall's own, beside
//! Heroku's resources.
//!
//! Notes are told to the router, which shows them also while the server is away.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Time,
    ids::{AppId, StatusNoteId},
    references::AppReference,
    rfc3339,
};

/// Letters of a note's text.
pub const NOTE_LETTERS: usize = 2_000;
/// Notes at a time.
pub const NOTES: usize = 50;

/// A note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusNote {
    /// Its id.
    pub id: StatusNoteId,
    /// Plain text, as many lines as it likes.
    pub text: String,
    /// How bad it is.
    pub severity: Severity,
    /// The app that it is about; `null` is the whole platform. Shown only while that app is on the
    /// status page.
    pub app: Option<AppReference>,
    /// When it leaves the page by itself; `null` is when it is removed.
    #[serde(with = "rfc3339::option")]
    pub until: Option<Time>,
    /// When it was written.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// When it was last changed.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
}

/// A note as the router is told it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostedNote {
    /// [`StatusNote::id`]
    pub id: StatusNoteId,
    /// [`StatusNote::text`]
    pub text: String,
    /// [`StatusNote::severity`]
    pub severity: Severity,
    /// [`StatusNote::app`]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppId>,
    /// [`StatusNote::until`]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// [`StatusNote::created_at`]
    pub created_at: Time,
    /// [`StatusNote::updated_at`]
    pub updated_at: Time,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    #[default]
    Info,
    /// Somebody is working on it, as planned.
    Maintenance,
    /// Something does not work as it should.
    Degraded,
    /// Something does not work at all.
    Down,
}

/// A note to write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewStatusNote {
    /// [`StatusNote::text`]
    pub text: String,
    /// [`StatusNote::severity`]
    #[serde(default)]
    pub severity: Severity,
    /// The app by name or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// [`StatusNote::until`]
    #[serde(
        default,
        with = "rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub until: Option<Time>,
}

/// What shall be different of a note; what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusNoteUpdate {
    /// [`StatusNote::text`]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// [`StatusNote::severity`]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// [`StatusNote::until`]; `null` takes the end away.
    #[serde(
        default,
        deserialize_with = "crate::null::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub until: Option<Option<Until>>,
}

/// A time, for where it may be left out as well as `null`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Until(#[serde(with = "rfc3339")] pub Time);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_not_what_is_null() {
        let check = |json: &str, expected: Option<Option<Until>>| {
            let update: StatusNoteUpdate = serde_json::from_str(json).unwrap();
            assert_eq!(update.until, expected, "{json}");
            assert_eq!(serde_json::to_string(&update).unwrap(), json);
        };
        let at = Until(Time::from_micros(1_771_488_000_000_000));
        check("{}", None);
        check(r#"{"until":null}"#, Some(None));
        check(r#"{"until":"2026-02-19T08:00:00Z"}"#, Some(Some(at)));
        assert!(serde_json::from_str::<StatusNoteUpdate>(r#"{"til":null}"#).is_err());
    }
}
