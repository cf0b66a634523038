//! The platform's own secrets: the root key that seals all others, the first account's token.
//!
//! They lie in files of mode 0600 outside the database, made once and never changed here.

use std::{
    io,
    path::{Path, PathBuf},
};

use rand::RngCore;
use thiserror::Error;

use crate::files::{self, Access};

/// Why the secrets cannot be had.
#[derive(Debug, Error)]
pub enum KeysError {
    /// A file could not be read or written.
    #[error("cannot {step} {}", path.display())]
    File {
        /// "read", "write", "make".
        step: &'static str,
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A file holds something else. A new root key would make every sealed secret unreadable, so
    /// none is made.
    #[error("{} is damaged: restore it from a backup", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
    },
}

/// The platform's own secrets.
#[derive(Clone)]
pub struct Keys {
    /// Seals config vars and the like.
    pub root: [u8; 32],
    /// The first account's token.
    pub admin_token: String,
    /// What the host key of git over SSH is made of.
    pub ssh_host: [u8; 32],
}

impl Keys {
    /// Reads them from `directory`, and makes what is missing.
    pub fn open(directory: &Path) -> Result<Self, KeysError> {
        files::private_directory(directory).map_err(|source| KeysError::File {
            step: "make",
            path: directory.to_owned(),
            source,
        })?;
        let mut fresh = [0; 32];
        rand::rng().fill_bytes(&mut fresh);
        let root = read_or_make(&directory.join("root.key"), &fresh)?;
        rand::rng().fill_bytes(&mut fresh);
        let token = format!("lf-{}", hex(&fresh));
        let admin_token = read_or_make(&directory.join("admin.token"), token.as_bytes())?;
        rand::rng().fill_bytes(&mut fresh);
        let ssh_host = read_or_make(&directory.join("ssh_host.key"), &fresh)?;
        let damaged = |name: &str| KeysError::Damaged {
            path: directory.join(name),
        };
        Ok(Self {
            root: root.try_into().map_err(|_| damaged("root.key"))?,
            admin_token: String::from_utf8(admin_token)
                .ok()
                .map(|token| token.trim().to_owned())
                .filter(|token| token.len() >= 32)
                .ok_or_else(|| damaged("admin.token"))?,
            ssh_host: ssh_host.try_into().map_err(|_| damaged("ssh_host.key"))?,
        })
    }

    /// A key for another purpose, derived from the root key: knowing it tells nothing about it.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        use sha2::{Digest, Sha256};
        let mut hash = Sha256::new();
        hash.update(b"landfall derived key\0");
        hash.update(self.root);
        hash.update(purpose);
        hash.finalize().into()
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

fn read_or_make(path: &Path, fresh: &[u8]) -> Result<Vec<u8>, KeysError> {
    let failed = |step| {
        move |source| KeysError::File {
            step,
            path: path.to_owned(),
            source,
        }
    };
    match std::fs::read(path) {
        Ok(content) => Ok(content),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            files::write(path, fresh, Access::Owner).map_err(failed("write"))?;
            Ok(fresh.to_owned())
        }
        Err(error) => Err(failed("read")(error)),
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all text");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once() {
        let directory = tempfile::tempdir().unwrap();
        let keys = Keys::open(directory.path()).unwrap();
        let again = Keys::open(directory.path()).unwrap();
        assert_eq!(
            (keys.root, &keys.admin_token, keys.ssh_host),
            (again.root, &again.admin_token, again.ssh_host)
        );
        assert_ne!(keys.derive("urls"), keys.derive("else"));
        assert_eq!(keys.derive("urls"), again.derive("urls"));
    }

    #[test]
    fn a_damaged_root_key_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("root.key"), b"short").unwrap();
        assert!(matches!(
            Keys::open(directory.path()),
            Err(KeysError::Damaged { .. })
        ));
    }
}
