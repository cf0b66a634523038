//! One log line: what it says, where it came from, and its form on disk and on a screen.

use std::fmt;

use api::{clock::Time, ids::DynoId};
use serde::{Deserialize, Serialize};
use uuid_bytes::{id_bytes, id_from_bytes};

/// Longer text is cut; the sources (shim, router, builder) split far below this.
const MAX_TEXT_BYTES: usize = 256 * 1024;

/// Who speaks: the app itself, or the platform about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogSource {
    /// Output of the app's dynos and messages of people's actions (`app[web.1]`, `app[api]`).
    App,
    /// Messages of the platform (`heroku[router]`, `heroku[web.1]`).
    Heroku,
}

impl fmt::Display for LogSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::App => "app",
            Self::Heroku => "heroku",
        })
    }
}

/// One log line of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was said.
    pub at: Time,
    /// Who says it.
    pub source: LogSource,
    /// `web.1`, `router`, `api`, `release.4`, `build`.
    pub dyno: String,
    /// The text, without a line end.
    pub text: String,
    /// Where the line stands in a numbered stream: the dyno (or spool) and its number there,
    /// counted from 1. [`crate::Logs::append`] skips a line whose number it already has.
    pub cursor: Option<(DynoId, u64)>,
}

impl LogLine {
    /// As Heroku's clients read it: `2026-02-19T08:00:00.000000+00:00 app[web.1]: text`. Always
    /// one line: line ends and NULs inside the text become spaces.
    pub fn format(&self) -> String {
        let head = format!(
            "{} {}[{}]: ",
            self.at.to_log_timestamp(),
            self.source,
            self.dyno
        );
        let text = self.text.trim_end_matches(['\n', '\r']);
        if text.contains(['\n', '\r', '\0']) {
            head + &text.replace(['\n', '\r', '\0'], " ")
        } else {
            head + text
        }
    }

    /// Payload of the line's record, written at the end of `buffer`:
    /// `at i64 | source u8 | cursor? u8 [dyno id 16 | sequence u64] | name length u8 | name | text`.
    pub(crate) fn encode(&self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(&self.at.as_micros().to_le_bytes());
        buffer.push(u8::from(self.source == LogSource::Heroku));
        buffer.push(u8::from(self.cursor.is_some()));
        if let Some((dyno, sequence)) = self.cursor {
            buffer.extend_from_slice(&id_bytes(dyno));
            buffer.extend_from_slice(&sequence.to_le_bytes());
        }
        let name = prefix(&self.dyno, usize::from(u8::MAX));
        buffer.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        buffer.extend_from_slice(name.as_bytes());
        buffer.extend_from_slice(prefix(&self.text, MAX_TEXT_BYTES).as_bytes());
    }

    /// The line of a record's payload; `None` for bytes that `encode` did not write.
    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let (at, rest) = payload.split_first_chunk::<8>()?;
        let (&[source, has_cursor], mut rest) = rest.split_first_chunk::<2>()?;
        let mut cursor = None;
        if has_cursor == 1 {
            let (dyno, after) = rest.split_first_chunk::<16>()?;
            let (sequence, after) = after.split_first_chunk::<8>()?;
            cursor = Some((id_from_bytes(*dyno), u64::from_le_bytes(*sequence)));
            rest = after;
        }
        let (&name_length, rest) = rest.split_first()?;
        let (name, text) = rest.split_at_checked(usize::from(name_length))?;
        Some(Self {
            at: Time::from_micros(i64::from_le_bytes(*at)),
            source: if source == 1 {
                LogSource::Heroku
            } else {
                LogSource::App
            },
            dyno: String::from_utf8(name.to_vec()).ok()?,
            text: String::from_utf8(text.to_vec()).ok()?,
            cursor,
        })
    }
}

/// The longest start of `text` of at most `limit` bytes.
fn prefix(text: &str, limit: usize) -> &str {
    let end = text.floor_char_boundary(limit);
    text.get(..end).unwrap_or(text)
}

pub(crate) mod uuid_bytes {
    //! Ids as 16 bytes.

    use api::ids::DynoId;

    pub(crate) fn id_bytes(id: DynoId) -> [u8; 16] {
        *id.as_uuid().as_bytes()
    }

    pub(crate) fn id_from_bytes(bytes: [u8; 16]) -> DynoId {
        DynoId::from(uuid::Uuid::from_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> LogLine {
        LogLine {
            at: Time::from_micros(1_771_488_000_006_329),
            source: LogSource::App,
            dyno: "web.1".to_owned(),
            text: text.to_owned(),
            cursor: None,
        }
    }

    #[test]
    fn lines_look_as_heroku_writes_them() {
        assert_eq!(
            line("héllo").format(),
            "2026-02-19T08:00:00.006329+00:00 app[web.1]: héllo"
        );
        assert_eq!(
            line("a\nb\r\n").format(),
            "2026-02-19T08:00:00.006329+00:00 app[web.1]: a b"
        );
    }

    #[test]
    fn lines_come_back_from_their_records() {
        let cursor = Some((DynoId::new(), 7));
        let heroku = LogLine {
            source: LogSource::Heroku,
            cursor,
            ..line("")
        };
        for line in [line("x"), heroku] {
            let mut bytes = Vec::new();
            line.encode(&mut bytes);
            assert_eq!(LogLine::decode(&bytes), Some(line));
        }
    }

    #[test]
    fn decoding_never_panics() {
        let mut bytes = Vec::new();
        LogLine {
            cursor: Some((DynoId::new(), 1)),
            ..line("text")
        }
        .encode(&mut bytes);
        for end in 0..bytes.len() {
            LogLine::decode(&bytes[..end]);
        }
        bytes[8..].fill(0xff);
        assert_eq!(LogLine::decode(&bytes), None);
    }
}
