//! Source repositories, their deploy keys and webhooks.

use std::time::Duration;

use api::source_hooks::Sender;
use store::{NewSourceRepository, StoreError};

use crate::fixture::change;

fn repository(url: &str) -> NewSourceRepository {
    NewSourceRepository {
        url: url.to_owned(),
        branch: "main".to_owned(),
        deploy_private_key: format!("PRIVATE of {url}"),
        deploy_public_key: format!("public of {url}"),
    }
}

case! {
    async fn an_app_keeps_its_deploy_key(f: Fixture) {
        let app = f.app("example").await.id;
        assert_eq!(f.store.source_repository(app).await.unwrap(), None);
        let first = f.store.set_source_repository(&change(), app, &repository("a")).await.unwrap();
        assert_eq!((first.url.as_str(), first.deploy_public_key.as_str()), ("a", "public of a"));
        f.store.note_known_hosts(&change(), app, "host key").await.unwrap();
        let noted = f.store.source_repository(app).await.unwrap().unwrap();
        assert_eq!(noted.known_hosts, "host key");
        let second = f.store.set_source_repository(&change(), app, &repository("b")).await.unwrap();
        assert_eq!((second.url.as_str(), second.known_hosts.as_str()), ("b", ""));
        assert_eq!(second.deploy_public_key, "public of a");
        assert_eq!(f.store.deploy_key(app).await.unwrap(), "PRIVATE of a");
        let events = f.store.events(app, 100).await.unwrap();
        assert!(!format!("{events:?}").contains("PRIVATE"));
        let hook = (f.owner.id, Sender::Github);
        f.store.create_source_hook(&change(), app, hook, "secret").await.unwrap();
        f.store.delete_source_repository(&change(), app).await.unwrap();
        assert_eq!(f.store.source_repository(app).await.unwrap(), None);
        assert_eq!(f.store.source_hooks(app).await.unwrap(), []);
        let gone = f.store.delete_source_repository(&change(), app).await.unwrap_err();
        assert!(matches!(gone, StoreError::NotFound { resource: "source repository", .. }));
    }
}

case! {
    async fn a_delivery_is_heard_once(f: Fixture) {
        let app = f.app("example").await.id;
        let by = (f.owner.id, Sender::Gitlab);
        let hook = f.store.create_source_hook(&change(), app, by, "secret").await.unwrap();
        assert_eq!(f.store.source_hook(hook.id).await.unwrap(), hook);
        assert_eq!(f.store.source_hook_secret(&hook).await.unwrap(), "secret");
        let long_ago = f.clock.now();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (both, other) = (names(&["body 1", "id 1"]), names(&["id 2", "body 1"]));
        assert!(f.store.hear_delivery(&change(), &hook, (&both, long_ago)).await.unwrap());
        assert!(!f.store.hear_delivery(&change(), &hook, (&both, long_ago)).await.unwrap());
        assert!(!f.store.hear_delivery(&change(), &hook, (&other, long_ago)).await.unwrap());
        // What was not heard left nothing behind.
        let rest = names(&["id 2"]);
        assert!(f.store.hear_delivery(&change(), &hook, (&rest, long_ago)).await.unwrap());
        f.store.forget_delivery(&change(), &hook, &both).await.unwrap();
        assert!(f.store.hear_delivery(&change(), &hook, (&both, long_ago)).await.unwrap());
        f.clock.advance(Duration::from_hours(1));
        let now = f.clock.now();
        assert!(f.store.hear_delivery(&change(), &hook, (&both, now)).await.unwrap());
        f.store.delete_source_hook(&change(), &hook).await.unwrap();
        let gone = f.store.source_hook(hook.id).await.unwrap_err();
        assert!(matches!(gone, StoreError::NotFound { resource: "source hook", .. }));
    }
}
