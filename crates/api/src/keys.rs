//! Key: an SSH public key that an account pushes with. `/account/keys`.

use serde::{Deserialize, Serialize};

use crate::{clock::Time, ids::KeyId, rfc3339};

/// A key as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// What its owner calls it: `username@host`; may be empty.
    pub comment: String,
    /// When it was added.
    #[serde(with = "rfc3339")]
    pub created_at: Time,
    /// The comment under its older name.
    pub email: String,
    /// MD5 of the key in pairs of hexadecimal digits, to recognise it by.
    pub fingerprint: String,
    /// The key's id.
    pub id: KeyId,
    /// The key as OpenSSH writes it: type, base64, comment.
    pub public_key: String,
    /// When it last changed: never.
    #[serde(with = "rfc3339")]
    pub updated_at: Time,
}

/// `POST /account/keys`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewKey {
    /// The key as OpenSSH writes it, one line.
    pub public_key: String,
}
