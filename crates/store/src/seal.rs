//! Sealing: the root key opens each app's data key, and that opens the app's secrets.
//!
//! XChaCha20-Poly1305 with a random nonce before the ciphertext, all base64. What a value is for
//! is bound to it as associated data, so a sealed value moved to another row does not open.

use std::fmt;

use api::ids::{AppId, BuildId, LogDrainId, ReleaseId, SniEndpointId, SourceHookId};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use rand::RngCore;

use crate::{Result, StoreError};

const NONCE_BYTES: usize = 24;
const ROOT_KEY_CHECK: &str = "landfall root key";

/// What a sealed value is for.
#[derive(Clone, Copy)]
pub(crate) enum Purpose<'a> {
    ConfigVar(&'a str),
    ReleaseConfigVars(ReleaseId),
    SourceUrl(BuildId),
    PrivateKey(SniEndpointId),
    AcmeAccount(&'a str),
    Edge,
    DeployKey,
    SourceHook(SourceHookId),
    TwoFactor,
    OauthClient,
    LogDrain(LogDrainId),
}

impl fmt::Display for Purpose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConfigVar(name) => write!(f, "config var {name}"),
            Self::ReleaseConfigVars(release) => write!(f, "config vars of release {release}"),
            Self::SourceUrl(build) => write!(f, "source URL of build {build}"),
            Self::PrivateKey(endpoint) => write!(f, "private key of SNI endpoint {endpoint}"),
            Self::AcmeAccount(directory) => write!(f, "ACME account at {directory}"),
            Self::Edge => f.write_str("edge settings"),
            Self::DeployKey => f.write_str("deploy key"),
            Self::TwoFactor => f.write_str("second factor"),
            Self::OauthClient => f.write_str("secret of OAuth client"),
            Self::SourceHook(hook) => write!(f, "secret of source hook {hook}"),
            Self::LogDrain(drain) => write!(f, "address of log drain {drain}"),
        }
    }
}

/// Seals data keys, and nothing else, so that it can be changed by resealing one value per app.
pub(crate) struct RootKey(XChaCha20Poly1305);

impl RootKey {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(&key.into()))
    }

    /// A new data key, sealed for the app's row.
    pub(crate) fn new_data_key(&self, app: AppId) -> String {
        let mut key = [0; 32];
        rand::rng().fill_bytes(&mut key);
        seal(&self.0, &key, &data_key_purpose(app))
    }

    pub(crate) fn data_key(&self, app: AppId, sealed: &str) -> Result<DataKey> {
        let key: Option<[u8; 32]> =
            unseal(&self.0, sealed, &data_key_purpose(app)).and_then(|key| key.try_into().ok());
        let key = key.ok_or_else(|| StoreError::Unsealable {
            purpose: "data key".to_owned(),
            app: app.to_string(),
        })?;
        Ok(DataKey {
            app,
            cipher: XChaCha20Poly1305::new(&key.into()),
        })
    }

    /// What [`RootKey::verify`] expects to find in the database.
    pub(crate) fn check_text(&self) -> String {
        seal(&self.0, ROOT_KEY_CHECK.as_bytes(), ROOT_KEY_CHECK)
    }

    pub(crate) fn verify(&self, sealed: &str) -> Result<()> {
        match unseal(&self.0, sealed, ROOT_KEY_CHECK) {
            Some(text) if text == ROOT_KEY_CHECK.as_bytes() => Ok(()),
            _ => Err(StoreError::WrongRootKey),
        }
    }
}

fn data_key_purpose(app: AppId) -> String {
    format!("{app}: data key")
}

/// Seals the secrets of one app.
pub(crate) struct DataKey {
    app: AppId,
    cipher: XChaCha20Poly1305,
}

impl DataKey {
    pub(crate) fn seal(&self, purpose: Purpose<'_>, text: &str) -> String {
        seal(
            &self.cipher,
            text.as_bytes(),
            &format!("{}: {purpose}", self.app),
        )
    }

    pub(crate) fn open(&self, purpose: Purpose<'_>, sealed: &str) -> Result<String> {
        unseal(&self.cipher, sealed, &format!("{}: {purpose}", self.app))
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| StoreError::Unsealable {
                purpose: purpose.to_string(),
                app: self.app.to_string(),
            })
    }
}

fn seal(cipher: &XChaCha20Poly1305, plain: &[u8], purpose: &str) -> String {
    let mut nonce = [0; NONCE_BYTES];
    rand::rng().fill_bytes(&mut nonce);
    let payload = Payload {
        msg: plain,
        aad: purpose.as_bytes(),
    };
    let sealed = cipher
        .encrypt(XNonce::from_slice(&nonce), payload)
        .expect("only messages beyond 256 GB cannot be sealed");
    STANDARD.encode([nonce.as_slice(), &sealed].concat())
}

fn unseal(cipher: &XChaCha20Poly1305, sealed: &str, purpose: &str) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(sealed).ok()?;
    let (nonce, sealed) = bytes.split_at_checked(NONCE_BYTES)?;
    let payload = Payload {
        msg: sealed,
        aad: purpose.as_bytes(),
    };
    cipher.decrypt(XNonce::from_slice(nonce), payload).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_only_where_it_was_sealed() {
        let root = RootKey::new([7; 32]);
        let (app, other) = (AppId::new(), AppId::new());
        let sealed_key = root.new_data_key(app);
        let key = root.data_key(app, &sealed_key).unwrap();
        let sealed = key.seal(Purpose::ConfigVar("A"), "secret");
        assert_eq!(
            key.open(Purpose::ConfigVar("A"), &sealed).unwrap(),
            "secret"
        );
        assert!(key.open(Purpose::ConfigVar("B"), &sealed).is_err());
        assert!(key.open(Purpose::ConfigVar("A"), "AAAA").is_err());
        assert!(root.data_key(other, &sealed_key).is_err());
        assert!(RootKey::new([8; 32]).data_key(app, &sealed_key).is_err());
        let again = key.seal(Purpose::ConfigVar("A"), "secret");
        assert_ne!(sealed, again, "equal values must not look equal");
    }
}
