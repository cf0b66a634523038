//! What signing in is made of: second factors, password resets, OAuth clients and their tokens.

use std::time::Duration;

use store::{NewAuthorization, NewTokens, StoreError, Taken, hash_token};

use crate::fixture::change;

case! {
    async fn a_second_factor_is_sealed_and_no_step_is_taken_twice(f: Fixture) {
        let owner = f.owner.id;
        f.store.begin_two_factor(&change(), owner, "SECRET").await.unwrap();
        f.store.begin_two_factor(&change(), owner, "SECRET2").await.unwrap();
        let begun = f.store.two_factor(owner).await.unwrap().unwrap();
        assert_eq!((begun.secret.as_str(), begun.confirmed_at), ("SECRET2", None));
        assert!(!format!("{begun:?}").contains("SECRET"), "never printed");
        assert!(f.store.take_step(&change(), owner, 7).await.unwrap());
        assert!(!f.store.take_step(&change(), owner, 7).await.unwrap());
        assert!(!f.store.take_step(&change(), owner, 6).await.unwrap());
        let codes = [hash_token("one"), hash_token("two")];
        f.store.confirm_two_factor(&change(), owner, &codes).await.unwrap();
        assert!(f.store.account(owner).await.unwrap().has_two_factor);
        let refused = f.store.begin_two_factor(&change(), owner, "OTHER").await.unwrap_err();
        assert!(matches!(refused, StoreError::Stale { .. }), "{refused}");
        assert!(f.store.take_recovery_code(&change(), owner, &codes[0]).await.unwrap());
        assert!(!f.store.take_recovery_code(&change(), owner, &codes[0]).await.unwrap());
        assert_eq!(f.store.recovery_codes_left(owner).await.unwrap(), 1);
        f.store.delete_two_factor(&change(), owner).await.unwrap();
        assert!(!f.store.account(owner).await.unwrap().has_two_factor);
        assert_eq!(f.store.recovery_codes_left(owner).await.unwrap(), 0);
        assert!(f.store.two_factor(owner).await.unwrap().is_none());
    }
}

case! {
    async fn a_password_reset_is_used_once_and_ends_sessions(f: Fixture) {
        let owner = f.owner.id;
        let session = |token: &str, is_session| NewAuthorization {
            account: owner,
            description: token.to_owned(),
            scope: vec!["global".to_owned()],
            token_hash: hash_token(token),
            token_hint: String::new(),
            expires_at: None,
            client: None,
            is_session,
        };
        for new in [session("signed in", true), session("made", false)] {
            f.store.create_authorization(&change(), &new).await.unwrap();
        }
        let until = f.clock.now().after(Duration::from_mins(1));
        let (old, new) = (hash_token("old"), hash_token("new"));
        f.store.put_password_reset(&change(), (owner, &old), until).await.unwrap();
        f.store.put_password_reset(&change(), (owner, &new), until).await.unwrap();
        assert_eq!(f.store.password_reset(&old).await.unwrap(), None, "replaced");
        let reset = f.store.password_reset(&new).await.unwrap().unwrap();
        assert_eq!((reset.account, reset.expires_at), (owner, until));
        f.store.finish_password_reset(&change(), (owner, &new), "hash").await.unwrap();
        let again = f.store.finish_password_reset(&change(), (owner, &new), "other").await;
        assert!(again.unwrap_err().is_not_found());
        let account = f.store.account(owner).await.unwrap();
        assert_eq!(account.password_hash.as_deref(), Some("hash"));
        let left = f.store.authorizations_of(owner).await.unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].description, "made");
    }
}

case! {
    async fn a_client_and_its_tokens_come_and_go_together(f: Fixture) {
        let owner = f.owner.id;
        let (secret, hash) = ("secret", hash_token("secret"));
        let named = ("robot", "https://robot.example.com");
        let secrets = (secret, hash.as_str());
        let client = f.store.create_oauth_client(&change(), owner, named, secrets).await.unwrap();
        assert_eq!(f.store.oauth_client_secret(&client).unwrap(), secret);
        let found = f.store.oauth_client_by_secret_hash(&hash).await.unwrap();
        assert_eq!(found.as_ref(), Some(&client));
        let new = NewAuthorization {
            account: owner,
            description: "robot".to_owned(),
            scope: vec!["read".to_owned()],
            token_hash: hash_token("never told"),
            token_hint: String::new(),
            expires_at: Some(f.clock.now()),
            client: Some(client.id),
            is_session: false,
        };
        let row = f.store.create_authorization(&change(), &new).await.unwrap();
        let until = f.clock.now().after(Duration::from_mins(1));
        let code = hash_token("code");
        f.store.create_oauth_grant(&change(), row.id, (&code, until)).await.unwrap();
        assert_eq!(f.store.oauth_grant(&code).await.unwrap().unwrap().authorization, row.id);
        let tokens = |name: &str| NewTokens {
            token_hash: hash_token(name),
            token_hint: name.to_owned(),
            expires_at: until,
            refresh_token_hash: hash_token(&format!("refresh {name}")),
            refresh_token_hint: name.to_owned(),
        };
        let taken = (row.id, Taken::Code(&code));
        f.store.replace_tokens(&change(), taken, &tokens("first")).await.unwrap();
        let again = f.store.replace_tokens(&change(), taken, &tokens("again")).await;
        assert!(again.unwrap_err().is_not_found());
        let refresh = hash_token("refresh first");
        let found = f.store.authorization_by_refresh_token_hash(&refresh).await.unwrap();
        assert_eq!(found.unwrap().id, row.id);
        let taken = (row.id, Taken::RefreshToken(&refresh));
        f.store.replace_tokens(&change(), taken, &tokens("second")).await.unwrap();
        let again = f.store.replace_tokens(&change(), taken, &tokens("third")).await;
        assert!(again.unwrap_err().is_not_found());
        let found = f.store.authorization_by_token_hash(&hash_token("second")).await.unwrap();
        assert_eq!(found.unwrap().id, row.id);
        f.store.delete_oauth_client(&change(), &client).await.unwrap();
        assert!(f.store.authorizations_of(owner).await.unwrap().is_empty());
    }
}

case! {
    async fn an_account_is_emptied_and_its_address_free(f: Fixture) {
        let app = f.app("example").await;
        let refused = f.store.delete_account(&change(), f.owner.id).await.unwrap_err();
        assert!(matches!(refused, StoreError::Conflict { .. }), "{refused}");
        f.store.delete_app(&change(), app.id).await.unwrap();
        f.store.delete_account(&change(), f.owner.id).await.unwrap();
        assert!(f.store.account_by_email("owner@example.com").await.unwrap().is_none());
        let kept = f.store.account(f.owner.id).await.unwrap();
        assert!(kept.deleted_at.is_some() && kept.password_hash.is_none());
    }
}
