//! SSH keys and whose they are.

use store::{NewAccount, NewKey, StoreError};

use crate::fixture::change;

case! {
    async fn a_key_belongs_to_one_account(f: Fixture) {
        let new = NewKey {
            account: f.owner.id,
            public_key: "ssh-ed25519 AAAA me".to_owned(),
            comment: "me".to_owned(),
            md5: "17:63".to_owned(),
            sha256: "SHA256:abc".to_owned(),
        };
        let key = f.store.create_key(&change(), &new).await.unwrap();
        let keys = f.store.keys_of(f.owner.id).await.unwrap();
        assert_eq!(keys, std::slice::from_ref(&key));
        assert_eq!(f.store.key_by_sha256("SHA256:abc").await.unwrap(), Some(key.clone()));
        let friend = NewAccount { email: "friend@example.com".to_owned(), password_hash: None };
        let friend = f.store.create_account(&change(), &friend).await.unwrap();
        let taken = NewKey { account: friend.id, ..new };
        let refused = f.store.create_key(&change(), &taken).await.unwrap_err();
        assert!(matches!(refused, StoreError::Conflict { resource: "key", .. }));
        f.store.delete_key(&change(), &key).await.unwrap();
        assert_eq!(f.store.key_by_sha256("SHA256:abc").await.unwrap(), None);
        let gone = f.store.delete_key(&change(), &key).await.unwrap_err();
        assert!(matches!(gone, StoreError::NotFound { resource: "key", .. }));
        f.store.create_key(&change(), &taken).await.unwrap();
    }
}
