//! One entry of the table: what is told, replaced and taken out by itself, so that a change costs
//! what it changes and a malformed entry hurts nobody else.
//!
//! Read [`Entry`], then [`read`].

use api::ids::{AppId, SniEndpointId, StatusNoteId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AppRoutes, Certificate, Challenge, PostedNote, RouteTable, ToRouter};

/// A part of the table that is told by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// An app's hosts and dynos.
    App(AppRoutes),
    /// A certificate.
    Certificate(Certificate),
    /// An answer to a certificate authority.
    Challenge(Challenge),
    /// What the operator says on the status page. Since protocol 4.
    Note(PostedNote),
}

/// Under what an entry is told: what is told again under the same key replaces it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKey {
    /// [`AppRoutes::app`]
    App(AppId),
    /// [`Certificate::id`]
    Certificate(SniEndpointId),
    /// The token of [`Challenge::Http`].
    HttpChallenge(String),
    /// The host of [`Challenge::TlsAlpn`].
    TlsChallenge(String),
    /// [`PostedNote::id`]
    Note(StatusNoteId),
}

impl Entry {
    /// Under what it is told.
    pub fn key(&self) -> EntryKey {
        match self {
            Self::App(routes) => EntryKey::App(routes.app),
            Self::Certificate(certificate) => EntryKey::Certificate(certificate.id),
            Self::Challenge(Challenge::Http { token, .. }) => {
                EntryKey::HttpChallenge(token.clone())
            }
            Self::Challenge(Challenge::TlsAlpn { host, .. }) => {
                EntryKey::TlsChallenge(host.clone())
            }
            Self::Note(note) => EntryKey::Note(note.id),
        }
    }
}

impl RouteTable {
    /// All its entries.
    pub fn into_entries(self) -> impl Iterator<Item = Entry> {
        let certificates = self.certificates.into_iter().map(Entry::Certificate);
        let challenges = self.challenges.into_iter().map(Entry::Challenge);
        let apps = self.apps.into_iter().map(Entry::App);
        let notes = self.notes.into_iter().map(Entry::Note);
        // Before an app is routed to, its clients can be met as it wants.
        certificates.chain(challenges).chain(apps).chain(notes)
    }
}

/// A line that is not understood.
#[derive(Debug)]
pub(crate) struct Misread {
    pub(crate) error: serde_json::Error,
    /// It was to tell an entry: no more is lost than that.
    pub(crate) is_entry: bool,
    /// The entry's key, if that much can be read.
    pub(crate) key: Option<EntryKey>,
}

/// The message in a line from the server.
pub(crate) fn read(line: &[u8]) -> Result<ToRouter, Misread> {
    serde_json::from_slice(line).map_err(|error| {
        let value: Value = serde_json::from_slice(line).unwrap_or_default();
        let is_entry = value.get("message").and_then(Value::as_str) == Some("set");
        let key = value.get("entry").and_then(key_of);
        Misread {
            error,
            is_entry,
            key,
        }
    })
}

/// The key of an entry that may be malformed otherwise.
pub(crate) fn key_of(entry: &Value) -> Option<EntryKey> {
    let (kind, told) = entry.as_object()?.iter().next()?;
    let field = |name: &str| told.get(name).and_then(Value::as_str);
    match kind.as_str() {
        "app" => Some(EntryKey::App(field("app")?.parse().ok()?)),
        "certificate" => Some(EntryKey::Certificate(field("id")?.parse().ok()?)),
        "challenge" => match field("kind")? {
            "http" => Some(EntryKey::HttpChallenge(field("token")?.to_owned())),
            "tls_alpn" => Some(EntryKey::TlsChallenge(field("host")?.to_owned())),
            _ => None,
        },
        "note" => Some(EntryKey::Note(field("id")?.parse().ok()?)),
        _ => None,
    }
}

/// A number that differs for entries that differ (FNV-1a, 64 bits): not against those who would
/// have two the same, but the server does not wish itself ill.
pub(crate) fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use api::{clock::Time, status_notes::Severity};

    use super::*;
    use crate::wire::{AppState, AppTls, PrivateKey};

    fn entries() -> Vec<Entry> {
        let app = AppId::new();
        vec![
            Entry::App(AppRoutes {
                app,
                name: "example".parse().unwrap(),
                hosts: vec!["example.localhost".to_owned()],
                state: AppState::Blank,
                backends: Vec::new(),
                tls: AppTls::default(),
                extras: None,
            }),
            Entry::Certificate(Certificate {
                id: SniEndpointId::new(),
                app,
                hosts: Vec::new(),
                chain: String::new(),
                key: PrivateKey(String::new()),
                ocsp: None,
            }),
            Entry::Challenge(Challenge::Http {
                token: "token".to_owned(),
                answer: String::new(),
            }),
            Entry::Challenge(Challenge::TlsAlpn {
                host: "example.com".to_owned(),
                chain: String::new(),
                key: PrivateKey(String::new()),
            }),
            Entry::Note(PostedNote {
                id: StatusNoteId::new(),
                text: String::new(),
                severity: Severity::Info,
                app: None,
                until: None,
                created_at: Time::default(),
                updated_at: Time::default(),
            }),
        ]
    }

    #[test]
    fn every_entry_is_read_as_written_and_its_key_even_if_the_rest_is_nonsense() {
        for entry in entries() {
            let message = ToRouter::Set {
                entry: entry.clone(),
            };
            let line = serde_json::to_vec(&message).unwrap();
            assert_eq!(read(&line).unwrap(), message);
            let mut value: Value = serde_json::from_slice(&line).unwrap();
            let told = value
                .pointer_mut("/entry")
                .unwrap()
                .as_object_mut()
                .unwrap();
            let told = told.values_mut().next().unwrap().as_object_mut().unwrap();
            for (name, field) in told.iter_mut() {
                if !["app", "id", "kind", "token", "host"].contains(&name.as_str()) {
                    *field = Value::from(7.5);
                }
            }
            let misread = read(value.to_string().as_bytes()).unwrap_err();
            assert!(misread.is_entry);
            assert_eq!(misread.key, Some(entry.key()));
        }
    }

    #[test]
    fn a_line_that_tells_no_entry_is_not_taken_for_one() {
        let check = |line: &str, is_entry| {
            let misread = read(line.as_bytes()).unwrap_err();
            assert_eq!((misread.is_entry, misread.key), (is_entry, None), "{line}");
        };
        check("nonsense", false);
        check("{\"message\":\"end\"}", false);
        check("{\"message\":\"set\"}", true);
        check(
            "{\"message\":\"set\",\"entry\":{\"novelty\":{\"app\":1}}}",
            true,
        );
    }
}
