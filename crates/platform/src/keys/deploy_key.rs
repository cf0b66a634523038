//! Deploy keys: Ed25519 pairs in OpenSSH's form, one an app, made here so that no other is ever
//! needed.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rand::RngCore;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use crate::error::{Error, Result};

const KIND: &[u8] = b"ssh-ed25519";
/// OpenSSH's PROTOCOL.key: what a file that is not encrypted begins with.
const MAGIC: &[u8] = b"openssh-key-v1\0";
/// The block that a file that is not encrypted is padded to.
const BLOCK: usize = 8;
/// Letters per line, as ssh-keygen has them.
const LINE: usize = 70;

/// A pair as OpenSSH writes it.
pub(crate) struct DeployKey {
    /// The private half, a file's content.
    pub(crate) private: String,
    /// The public half, one line.
    pub(crate) public: String,
}

impl DeployKey {
    /// A new pair; `comment` says at the other end what it is for.
    pub(crate) fn new(comment: &str) -> Result<Self> {
        let mut seed = [0; 32];
        rand::rng().fill_bytes(&mut seed);
        let mut check = [0; 4];
        rand::rng().fill_bytes(&mut check);
        Self::of(&seed, check, comment)
    }

    fn of(seed: &[u8; 32], check: [u8; 4], comment: &str) -> Result<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| Error::Unavailable {
            message: "A key could not be made.".to_owned(),
        })?;
        let point = pair.public_key().as_ref();
        let public = [field(KIND), field(point)].concat();
        let mut secret = [
            check.to_vec(),
            check.to_vec(),
            public.clone(),
            field(&[seed.as_slice(), point].concat()),
            field(comment.as_bytes()),
        ]
        .concat();
        let padding = (BLOCK - secret.len() % BLOCK) % BLOCK;
        secret.extend((1..=u8::MAX).take(padding));
        let file = [
            MAGIC.to_vec(),
            field(b"none"),
            field(b"none"),
            field(b""),
            1_u32.to_be_bytes().to_vec(),
            field(&public),
            field(&secret),
        ]
        .concat();
        let encoded = STANDARD.encode(file);
        let mut lines = vec!["-----BEGIN OPENSSH PRIVATE KEY-----".to_owned()];
        let letters: Vec<char> = encoded.chars().collect();
        lines.extend(letters.chunks(LINE).map(|line| line.iter().collect()));
        lines.push("-----END OPENSSH PRIVATE KEY-----\n".to_owned());
        Ok(Self {
            private: lines.join("\n"),
            public: format!("ssh-ed25519 {} {comment}", STANDARD.encode(&public)),
        })
    }
}

/// A string with its length before it (RFC 4251 §5).
fn field(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [length.to_be_bytes().as_slice(), bytes].concat()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn ssh_keygen_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let key = DeployKey::new("landfall shop").unwrap();
        std::fs::write(&path, &key.private).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let read = std::process::Command::new("ssh-keygen")
            .arg("-yf")
            .arg(&path)
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&read.stdout).trim(),
            key.public,
            "{}",
            String::from_utf8_lossy(&read.stderr)
        );
        assert_ne!(DeployKey::new("x").unwrap().public, key.public);
    }
}
