//! Releases: numbering, what they run, how they end, and the formation that follows them.

use std::collections::BTreeSet;

use api::ids::{AppId, ReleaseId};
use store::{DEFAULT_SIZE, FormationUpdate, NewRelease, ReleaseOutcome, ReleaseStatus, StoreError};

use crate::fixture::{Fixture, change, vars};

case! {
    async fn releases_are_numbered_from_one_per_app(f: Fixture) {
        for name in ["first", "second"] {
            let app = f.app(name).await;
            for version in 1..=3 {
                let release = f.release(&f.new_release(app.id)).await;
                assert_eq!((release.version, release.status), (version, ReleaseStatus::Pending));
                assert!(!release.is_current);
                assert_eq!(f.store.release(app.id, release.id).await.unwrap(), release);
                assert_eq!(f.store.release_by_version(app.id, version).await.unwrap(), release);
                assert_eq!(f.store.release_by_id(release.id).await.unwrap(), release);
                assert_eq!(f.store.newest_release(app.id).await.unwrap(), Some(release));
            }
        }
        assert_eq!(f.store.pending_releases().await.unwrap().len(), 6);
    }
}

case! {
    async fn concurrent_releases_get_distinct_versions(f: Fixture) {
        let app = f.app("example").await;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let (store, new) = (f.store.clone(), f.new_release(app.id));
            tasks.spawn(async move { store.create_release(&change(), &new).await.unwrap().version });
        }
        let versions: BTreeSet<u64> = tasks.join_all().await.into_iter().collect();
        assert_eq!(versions, (1..=16).collect());
    }
}

case! {
    async fn a_release_without_slug_keeps_the_newest_that_has_not_failed(f: Fixture) {
        let app = f.app("example").await;
        assert_eq!(f.release(&f.new_release(app.id)).await.slug, None);
        let good = f.slug(app.id, &[("web", "serve")]).await;
        f.live(app.id, good.id).await;
        assert_eq!(f.set(app.id, &[("A", Some("1"))]).await.slug, Some(good.id));
        let bad = f.slug(app.id, &[("web", "break")]).await;
        let new = NewRelease { slug: Some(bad.id), ..f.new_release(app.id) };
        let pending = f.release(&new).await;
        assert_eq!(f.set(app.id, &[("A", Some("2"))]).await.slug, Some(bad.id));
        f.fail(&pending).await;
        f.fail(&f.store.newest_release(app.id).await.unwrap().unwrap()).await;
        assert_eq!(f.set(app.id, &[("A", Some("3"))]).await.slug, Some(good.id));
    }
}

case! {
    async fn a_slug_of_another_app_is_refused_and_changes_nothing(f: Fixture) {
        let (app, other) = (f.app("example").await, f.app("other").await);
        let slug = f.slug(other.id, &[("web", "serve")]).await;
        let updates = Some([("A".to_owned(), Some("1".to_owned()))].into());
        let new = NewRelease { slug: Some(slug.id), config_updates: updates, ..f.new_release(app.id) };
        let refused = f.store.create_release(&change(), &new).await.unwrap_err();
        assert!(matches!(refused, StoreError::NotFound { resource: "slug", .. }));
        assert_eq!(f.store.config_vars(app.id).await.unwrap(), vars(&[]));
        assert!(f.store.releases(app.id).await.unwrap().is_empty());
    }
}

case! {
    async fn success_makes_a_release_current_and_describes_the_app(f: Fixture) {
        let app = f.app("example").await;
        let slug = f.slug(app.id, &[("web", "serve")]).await;
        assert_eq!(f.store.current_release(app.id).await.unwrap(), None);
        f.pass(5);
        let first = f.live(app.id, slug.id).await;
        assert!(first.is_current);
        assert_eq!(first.status, ReleaseStatus::Succeeded);
        let app = f.store.app(app.id).await.unwrap();
        assert_eq!(app.released_at, Some(f.clock.now()));
        assert_eq!(app.slug_size, Some(slug.size_bytes));
        assert_eq!(app.buildpack_provided_description.as_deref(), Some("Python"));
        let second = f.live(app.id, slug.id).await;
        assert_eq!(f.store.current_release(app.id).await.unwrap(), Some(second.clone()));
        let current: Vec<_> =
            f.store.releases(app.id).await.unwrap().into_iter().filter(|r| r.is_current).collect();
        assert_eq!(current, [second]);
    }
}

case! {
    async fn a_failed_release_leaves_the_old_one_current(f: Fixture) {
        let app = f.app("example").await;
        let slug = f.slug(app.id, &[("web", "serve")]).await;
        let live = f.live(app.id, slug.id).await;
        let next = f.slug(app.id, &[("web", "break"), ("worker", "work")]).await;
        let release = f.release(&NewRelease { slug: Some(next.id), ..f.new_release(app.id) }).await;
        let failed = f.fail(&release).await;
        assert_eq!(failed.status, ReleaseStatus::Failed);
        assert_eq!(failed.failure_message.as_deref(), Some("exit status 1"));
        assert_eq!(f.store.current_release(app.id).await.unwrap(), Some(live));
        assert_eq!(commands(&f, app.id).await, [("web".to_owned(), 1, "serve".to_owned())]);
    }
}

case! {
    async fn a_release_is_finished_once(f: Fixture) {
        let app = f.app("example").await;
        for outcome in [ReleaseOutcome::Succeeded, ReleaseOutcome::Failed { message: String::new() }] {
            let release = f.release(&f.new_release(app.id)).await;
            f.store.finish_release(&change(), release.id, &outcome).await.unwrap();
            let again = f.store.finish_release(&change(), release.id, &outcome).await.unwrap_err();
            assert!(matches!(again, StoreError::Stale { resource: "release", .. }));
        }
        let missing = f.store.finish_release(&change(), ReleaseId::new(), &ReleaseOutcome::Succeeded).await;
        assert!(missing.unwrap_err().is_not_found());
        assert!(f.store.pending_releases().await.unwrap().is_empty());
    }
}

case! {
    async fn a_superseded_release_cannot_go_live(f: Fixture) {
        let app = f.app("example").await;
        let slug = f.slug(app.id, &[("web", "serve")]).await;
        let older = f.release(&NewRelease { slug: Some(slug.id), ..f.new_release(app.id) }).await;
        let newer = f.release(&f.new_release(app.id)).await;
        let newer = f.succeed(&newer).await;
        let late = f.store.finish_release(&change(), older.id, &ReleaseOutcome::Succeeded).await;
        assert!(matches!(late.unwrap_err(), StoreError::Stale { .. }));
        assert_eq!(f.store.current_release(app.id).await.unwrap(), Some(newer));
        assert_eq!(f.store.pending_releases().await.unwrap(), std::slice::from_ref(&older));
        f.fail(&older).await;
    }
}

case! {
    async fn of_two_racing_finishes_one_wins(f: Fixture) {
        let app = f.app("example").await;
        let release = f.release(&f.new_release(app.id)).await;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let store = f.store.clone();
            tasks.spawn(async move {
                store.finish_release(&change(), release.id, &ReleaseOutcome::Succeeded).await
            });
        }
        let won = tasks.join_all().await.into_iter().flatten().count();
        assert_eq!(won, 1);
        assert_eq!(f.kinds(app.id).await, ["app.create", "release.create", "release.update"]);
    }
}

case! {
    async fn the_formation_follows_the_slug(f: Fixture) {
        let app = f.app("example").await;
        let slug = f.slug(app.id, &[("web", "v1"), ("worker", "work"), ("release", "migrate")]).await;
        f.live(app.id, slug.id).await;
        let formation = f.store.formation(app.id).await.unwrap();
        assert!(formation.iter().all(|process| process.size == DEFAULT_SIZE));
        let expected = [("web".to_owned(), 1, "v1".to_owned()), ("worker".to_owned(), 0, "work".to_owned())];
        assert_eq!(commands(&f, app.id).await, expected);
        let updates = [update("web", Some(3), Some("standard-2x")), update("worker", Some(2), None)];
        f.store.update_formation(&change(), app.id, &updates).await.unwrap();
        let slug = f.slug(app.id, &[("web", "v2"), ("clock", "tick")]).await;
        f.live(app.id, slug.id).await;
        let expected = [("clock".to_owned(), 0, "tick".to_owned()), ("web".to_owned(), 3, "v2".to_owned())];
        assert_eq!(commands(&f, app.id).await, expected);
        assert_eq!(f.store.formation(app.id).await.unwrap()[1].size, "standard-2x");
        let events = f.store.events(app.id, 1).await.unwrap();
        assert_eq!(events[0].details["added_process_types"], serde_json::json!(["clock"]));
        assert_eq!(events[0].details["removed_process_types"], serde_json::json!(["worker"]));
    }
}

case! {
    async fn scaling_is_all_or_nothing(f: Fixture) {
        let app = f.app("example").await;
        let slug = f.slug(app.id, &[("web", "serve")]).await;
        f.live(app.id, slug.id).await;
        let before = f.store.formation(app.id).await.unwrap();
        let updates = [update("web", Some(5), None), update("nope", Some(1), None)];
        let refused = f.store.update_formation(&change(), app.id, &updates).await.unwrap_err();
        assert!(matches!(&refused, StoreError::NotFound { resource: "formation", key } if key == "nope"));
        assert_eq!(f.store.formation(app.id).await.unwrap(), before);
    }
}

fn update(process_type: &str, quantity: Option<u32>, size: Option<&str>) -> FormationUpdate {
    FormationUpdate {
        process_type: process_type.parse().unwrap(),
        quantity,
        size: size.map(str::to_owned),
    }
}

/// Process type, quantity and command of each part of the formation.
async fn commands(f: &Fixture, app: AppId) -> Vec<(String, u32, String)> {
    let formation = f.store.formation(app).await.unwrap();
    formation
        .into_iter()
        .map(|p| (p.process_type.to_string(), p.quantity, p.command))
        .collect()
}
