//! Events: they tell the whole story, in the order of commits.

use serde_json::json;
use store::{Actor, AppUpdate, Change, NewEvent};

use crate::fixture::change;

case! {
    async fn an_event_tells_who_what_where_and_why(f: Fixture) {
        let app = f.app("example").await;
        let story = Change {
            request_id: Some("0195-request".to_owned()),
            ..Change::by(f.owner.id, "192.0.2.7", "PATCH /apps/example")
        };
        f.pass(9);
        let update = AppUpdate { maintenance: Some(true), ..AppUpdate::default() };
        f.store.update_app(&story, app.id, &update).await.unwrap();
        let event = f.store.events(app.id, 1).await.unwrap().remove(0);
        assert_eq!(event.actor, Actor::Account(f.owner.id));
        assert_eq!((event.origin, event.cause), (story.origin, story.cause));
        assert_eq!((event.request_id, event.at), (story.request_id, f.clock.now()));
        assert_eq!((event.kind.as_str(), event.app), ("app.update", Some(app.id)));
        assert_eq!(event.subject, app.id.to_string());
        assert_eq!(event.details["maintenance"], true);
    }
}

case! {
    async fn a_reader_that_follows_misses_nothing(f: Fixture) {
        let apps = [f.app("one").await, f.app("two").await, f.app("three").await];
        let mut tasks = tokio::task::JoinSet::new();
        for round in 0..8 {
            for app in &apps {
                let (store, app) = (f.store.clone(), app.id);
                let update = AppUpdate { repo_size: Some(round), ..AppUpdate::default() };
                tasks.spawn(async move { store.update_app(&change(), app, &update).await.unwrap() });
            }
        }
        // Reads while the writers write: an event that is seen may never be overtaken later.
        let mut seen = Vec::new();
        while seen.len() < 1 + 3 + 24 {
            let after = seen.last().copied().unwrap_or(0);
            let news = f.store.events_after(after, 5).await.unwrap();
            seen.extend(news.into_iter().map(|event| event.sequence));
            tokio::task::yield_now().await;
        }
        tasks.join_all().await;
        assert_eq!(seen, (1..=28).collect::<Vec<_>>());
        assert!(f.store.events_after(28, 5).await.unwrap().is_empty());
    }
}

case! {
    async fn what_changes_nothing_is_recorded_too(f: Fixture) {
        let app = f.app("example").await;
        let story = Change::by(f.owner.id, "192.0.2.7", "GET /apps/example/config-vars");
        let new = NewEvent {
            app: Some(app.id),
            kind: "config-vars.read",
            subject: app.id.to_string(),
            details: json!({ "names": ["A"] }),
        };
        f.store.record_event(&story, new.clone()).await.unwrap();
        assert_eq!(f.kinds(app.id).await, ["app.create", "config-vars.read"]);
        let event = f.store.events(app.id, 1).await.unwrap().remove(0);
        assert_eq!((event.actor, event.cause), (story.actor, story.cause));
        assert_eq!((event.subject, event.details), (new.subject, new.details));
        assert_eq!(f.store.app(app.id).await.unwrap(), app);
    }
}
