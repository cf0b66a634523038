//! Notes on the status page, and who may write them.

use std::time::Duration;

use api::status_notes::{PostedNote, Severity};
use store::{NewAccount, NewStatusNote, StoreError};

use crate::fixture::change;

case! {
    async fn notes_are_kept_changed_and_taken_back(f: Fixture) {
        let app = f.app("example").await;
        let now = f.clock.now();
        let new = NewStatusNote {
            text: "Disks are replaced".to_owned(),
            severity: Severity::Maintenance,
            app: Some(app.id),
            until: Some(now.after(Duration::from_hours(1))),
        };
        let first = f.store.create_status_note(&change(), &new, now).await.unwrap();
        f.clock.advance(Duration::from_hours(2));
        let forever = NewStatusNote { app: None, until: None, severity: Severity::Down, ..new.clone() };
        let second = f.store.create_status_note(&change(), &forever, now).await.unwrap();
        assert_eq!(f.store.status_notes().await.unwrap(), [second.clone(), first.clone()]);
        let other = PostedNote { text: "Done".to_owned(), severity: Severity::Info, until: None, ..first };
        let changed = f.store.update_status_note(&change(), &other).await.unwrap();
        assert_eq!(changed.updated_at, f.clock.now());
        assert_eq!(f.store.status_notes().await.unwrap()[1], changed);
        f.store.delete_status_note(&change(), &second).await.unwrap();
        let gone = f.store.delete_status_note(&change(), &second).await.unwrap_err();
        assert!(matches!(gone, StoreError::NotFound { resource: "status note", .. }));
        let events = f.store.events(app.id, 1).await.unwrap();
        assert_eq!(events[0].kind, "status-note.update");
        f.store.delete_app(&change(), app.id).await.unwrap();
        assert!(f.store.status_notes().await.unwrap().is_empty());
    }
}

case! {
    async fn what_is_long_over_is_forgotten(f: Fixture) {
        let now = f.clock.now();
        let new = NewStatusNote {
            text: "Over".to_owned(),
            severity: Severity::Info,
            app: None,
            until: Some(now),
        };
        f.store.create_status_note(&change(), &new, now).await.unwrap();
        let later = now.after(Duration::from_secs(1));
        let second = f.store.create_status_note(&change(), &new, later).await.unwrap();
        assert_eq!(f.store.status_notes().await.unwrap(), [second]);
    }
}

case! {
    async fn the_first_account_is_the_operator(f: Fixture) {
        assert!(f.owner.is_operator);
        let new = NewAccount { email: "friend@example.com".to_owned(), password_hash: None };
        let friend = f.store.create_account(&change(), &new).await.unwrap();
        assert!(!friend.is_operator);
        assert!(f.store.account(f.owner.id).await.unwrap().is_operator);
        assert!(!f.store.account(friend.id).await.unwrap().is_operator);
    }
}
