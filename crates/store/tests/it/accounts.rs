//! Accounts, authorizations and sources.

use std::time::Duration;

use store::{NewAccount, NewAuthorization, NewSource, StoreError, hash_token};

use crate::fixture::change;

case! {
    async fn an_email_is_found_in_any_case_and_taken_once(f: Fixture) {
        let found = f.store.account_by_email("OWNER@example.COM").await.unwrap();
        assert_eq!(found.as_ref(), Some(&f.owner));
        assert_eq!(f.owner.email, "owner@example.com");
        assert_eq!(f.store.account(f.owner.id).await.unwrap(), f.owner);
        let again = NewAccount { email: "owner@EXAMPLE.com".to_owned(), password_hash: None };
        let refused = f.store.create_account(&change(), &again).await.unwrap_err();
        assert!(matches!(refused, StoreError::Conflict { resource: "account", .. }), "{refused}");
        assert_eq!(f.store.accounts().await.unwrap().len(), 1);
        assert_eq!(f.store.account_by_email("nobody@example.com").await.unwrap(), None);
    }
}

case! {
    async fn a_password_hash_can_be_replaced(f: Fixture) {
        f.store.update_account_password(&change(), (f.owner.id, None), "hash").await.unwrap();
        let account = f.store.account(f.owner.id).await.unwrap();
        assert_eq!(account.password_hash.as_deref(), Some("hash"));
        assert!(!format!("{account:?}").contains("hash:"), "never printed");
        let nobody = api::ids::AccountId::new();
        let refused = f.store.update_account_password(&change(), (nobody, None), "hash").await;
        assert!(refused.unwrap_err().is_not_found());
    }
}

case! {
    async fn a_token_is_found_by_its_hash_until_revoked(f: Fixture) {
        let expires_at = Some(f.clock.now().after(Duration::from_mins(1)));
        let new = NewAuthorization {
            account: f.owner.id,
            description: "laptop".to_owned(),
            scope: vec!["global".to_owned()],
            token_hash: hash_token("token"),
            token_hint: "HRKU…abcd".to_owned(),
            expires_at,
            client: None,
            is_session: false,
        };
        let made = f.store.create_authorization(&change(), &new).await.unwrap();
        let hash = hash_token("token");
        let found = f.store.authorization_by_token_hash(&hash).await.unwrap();
        assert_eq!(found, Some(made.clone()));
        assert_eq!(f.store.authorization(made.id).await.unwrap(), made);
        assert_eq!(f.store.authorizations_of(f.owner.id).await.unwrap(), std::slice::from_ref(&made));
        let refused = f.store.create_authorization(&change(), &new).await.unwrap_err();
        assert!(matches!(refused, StoreError::Conflict { .. }));
        let other = hash_token("other");
        f.store.replace_token(&change(), made.id, &other, "HRKU…zzzz").await.unwrap();
        assert_eq!(f.store.authorization_by_token_hash(&hash).await.unwrap(), None);
        let made = f.store.describe_authorization(&change(), made.id, "desk").await.unwrap();
        let found = f.store.authorization_by_token_hash(&other).await.unwrap();
        assert_eq!(found, Some(made.clone()));
        assert_eq!((made.description.as_str(), made.token_hint.as_str()), ("desk", "HRKU…zzzz"));
        f.store.delete_authorization(&change(), made.id).await.unwrap();
        assert_eq!(f.store.authorization_by_token_hash(&other).await.unwrap(), None);
        let refused = f.store.delete_authorization(&change(), made.id).await.unwrap_err();
        assert!(matches!(refused, StoreError::NotFound { resource: "authorization", .. }));
    }
}

case! {
    async fn sources_are_swept_by_age(f: Fixture) {
        let new = NewSource { account: f.owner.id, secret_hash: hash_token("secret") };
        let old = f.store.create_source(&change(), &new).await.unwrap();
        f.pass(60);
        let young = f.store.create_source(&change(), &new).await.unwrap();
        assert_eq!(f.store.source(old.id).await.unwrap(), old);
        assert_eq!(f.store.sources_before(young.created_at).await.unwrap(), std::slice::from_ref(&old));
        f.store.delete_source(&change(), old.id).await.unwrap();
        assert!(f.store.source(old.id).await.unwrap_err().is_not_found());
    }
}
