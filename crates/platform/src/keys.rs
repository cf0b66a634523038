//! Keys: which SSH public keys an account pushes with.

mod deploy_key;
mod public_key;

use store::{Account, Key, NewKey};

pub(crate) use self::deploy_key::DeployKey;
use self::public_key::PublicKey;
use crate::{
    Platform,
    caller::Caller,
    error::{Error, Result},
};

/// Keys of one account; nobody types more.
const MOST_KEYS: usize = 200;

impl Platform {
    /// The caller's keys, oldest first.
    pub async fn keys(&self, caller: &Caller) -> Result<Vec<Key>> {
        Ok(self.store.keys_of(caller.account).await?)
    }

    /// One of the caller's keys, by id or fingerprint.
    pub async fn key(&self, caller: &Caller, identity: &str) -> Result<Key> {
        let found = self.keys(caller).await?.into_iter().find(|key| {
            key.id.to_string() == identity || key.md5 == identity || key.sha256 == identity
        });
        found.ok_or_else(|| Error::NotFound {
            resource: "key",
            name: identity.to_owned(),
        })
    }

    /// Lets the caller push with a key.
    ///
    /// # Errors
    /// `Invalid` for what is no key, is too weak, or is somebody's already.
    pub async fn create_key(&self, caller: &Caller, text: &str) -> Result<Key> {
        let invalid = |message: &str| Error::Invalid {
            message: message.to_owned(),
        };
        let parsed = PublicKey::parse(text).map_err(|refusal| invalid(&refusal.to_string()))?;
        if self.keys(caller).await?.len() >= MOST_KEYS {
            return Err(invalid("There are too many keys already."));
        }
        let new = NewKey {
            account: caller.account,
            md5: parsed.md5(),
            sha256: parsed.sha256(),
            public_key: parsed.text,
            comment: parsed.comment,
        };
        match self.store.create_key(&caller.change(), &new).await {
            Err(store::StoreError::Conflict { .. }) => {
                Err(invalid("Fingerprint has already been taken"))
            }
            outcome => Ok(outcome?),
        }
    }

    /// Removes one of the caller's keys.
    pub async fn delete_key(&self, caller: &Caller, identity: &str) -> Result<Key> {
        let key = self.key(caller, identity).await?;
        self.store.delete_key(&caller.change(), &key).await?;
        Ok(key)
    }

    /// Whose key it is, by its `SHA256:…` fingerprint. Who holds its private half must have been
    /// proved.
    pub async fn key_holder(&self, sha256: &str) -> Result<Option<Account>> {
        match self.store.key_by_sha256(sha256).await? {
            Some(key) => Ok(Some(self.store.account(key.account).await?)),
            None => Ok(None),
        }
    }
}
