//! Build settings: kept whole, changed from what they are, and told of; what a slug's watched files
//! were.

use api::{build_settings::BuildSettings, ids::SlugId};
use store::StoreError;

use crate::fixture::change;

case! {
    async fn build_settings_are_kept_and_told_of(f: Fixture) {
        let app = f.app("example").await;
        let none = BuildSettings::default();
        assert_eq!(f.store.build_settings(app.id).await.unwrap(), none);
        let rooted = BuildSettings {
            root_directory: Some("services/api".parse().unwrap()),
            watch_paths: vec!["services/**".to_owned()],
            ..none.clone()
        };
        f.store.set_build_settings(&change(), app.id, (&none, &rooted)).await.unwrap();
        assert_eq!(f.store.build_settings(app.id).await.unwrap(), rooted);
        let events = f.store.events(app.id, 1).await.unwrap();
        assert_eq!(events[0].kind, "build-settings.update");
        assert_eq!(events[0].details["root_directory"], "services/api");
        let late = f.store.set_build_settings(&change(), app.id, (&none, &none)).await;
        assert!(matches!(late.unwrap_err(), StoreError::Stale { .. }), "somebody was quicker");
        f.store.set_build_settings(&change(), app.id, (&rooted, &none)).await.unwrap();
        assert_eq!(f.store.build_settings(app.id).await.unwrap(), none);
    }
}

case! {
    async fn a_slug_remembers_what_was_watched(f: Fixture) {
        let (app, other) = (f.app("example").await, f.app("other").await);
        let slug = f.slug(app.id, &[("web", "serve")]).await;
        assert_eq!(f.store.watch_digest(slug.id).await.unwrap(), None);
        f.store.note_watch_digest(&change(), (app.id, slug.id), "abc").await.unwrap();
        assert_eq!(f.store.watch_digest(slug.id).await.unwrap().as_deref(), Some("abc"));
        let foreign = f.store.note_watch_digest(&change(), (other.id, slug.id), "x").await;
        assert!(foreign.unwrap_err().is_not_found());
        assert_eq!(f.store.watch_digest(SlugId::new()).await.unwrap(), None);
    }
}
