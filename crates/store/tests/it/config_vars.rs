//! Config vars: they change with releases, and each release remembers its own.

use store::NewRelease;

use crate::fixture::{change, vars};

case! {
    async fn updates_set_and_remove(f: Fixture) {
        let app = f.app("example").await;
        assert_eq!(f.store.config_vars(app.id).await.unwrap(), vars(&[]));
        let first = f.set(app.id, &[("A", Some("1")), ("B", Some("")), ("Ü", Some("ß\n\0"))]).await;
        let expected = vars(&[("A", "1"), ("B", ""), ("Ü", "ß\n\0")]);
        assert_eq!(f.store.config_vars(app.id).await.unwrap(), expected);
        let second = f.set(app.id, &[("A", Some("2")), ("B", None), ("Ü", None), ("MISSING", None)]).await;
        assert_eq!(f.store.config_vars(app.id).await.unwrap(), vars(&[("A", "2")]));
        assert_eq!(f.store.release_config_vars(first.id).await.unwrap(), expected);
        assert_eq!(f.store.release_config_vars(second.id).await.unwrap(), vars(&[("A", "2")]));
        let events = f.store.events(app.id, 1).await.unwrap();
        assert_eq!(events[0].details["config_vars_set"], serde_json::json!(["A"]));
        assert_eq!(events[0].details["config_vars_unset"], serde_json::json!(["B", "Ü"]));
    }
}

case! {
    async fn a_rollback_brings_back_the_config_vars(f: Fixture) {
        let app = f.app("example").await;
        let good = f.set(app.id, &[("A", Some("good")), ("OLD", Some("1"))]).await;
        f.set(app.id, &[("A", Some("bad")), ("NEW", Some("1")), ("OLD", None)]).await;
        let replacement = f.store.release_config_vars(good.id).await.unwrap();
        let rollback = NewRelease { config_replacement: Some(replacement), ..f.new_release(app.id) };
        let rollback = f.store.create_release(&change(), &rollback).await.unwrap();
        let expected = vars(&[("A", "good"), ("OLD", "1")]);
        assert_eq!(f.store.config_vars(app.id).await.unwrap(), expected);
        assert_eq!(f.store.release_config_vars(rollback.id).await.unwrap(), expected);
    }
}

case! {
    async fn concurrent_updates_are_all_kept(f: Fixture) {
        let app = f.app("example").await;
        let names: Vec<String> = (0..12).map(|i| format!("VAR_{i}")).collect();
        let mut tasks = tokio::task::JoinSet::new();
        for name in names.clone() {
            let updates = [(name, Some("1".to_owned()))].into();
            let new = NewRelease { config_updates: Some(updates), ..f.new_release(app.id) };
            let store = f.store.clone();
            tasks.spawn(async move { store.create_release(&change(), &new).await.unwrap() });
        }
        let releases = tasks.join_all().await;
        let config = f.store.config_vars(app.id).await.unwrap();
        assert!(names.iter().all(|name| config.contains_key(name)), "{config:?}");
        // Each snapshot holds one variable more than the one before it.
        for release in releases {
            let snapshot = f.store.release_config_vars(release.id).await.unwrap();
            assert_eq!(snapshot.len() as u64, release.version);
        }
    }
}
