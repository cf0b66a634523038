//! Slugs: built ones, and those that wait for their archive.

use std::collections::BTreeMap;

use store::{NewSlug, Slug, SlugContents, StoreError};

use crate::fixture::{change, new_slug};

case! {
    async fn slugs_keep_what_they_were_given(f: Fixture) {
        let app = f.app("example").await;
        let new = new_slug(app.id, &[("web", "serve")]);
        let slug = f.store.create_slug(&change(), &new).await.unwrap();
        assert_eq!(f.store.slug(slug.id).await.unwrap(), slug);
        assert_eq!((&slug.env, &slug.commit, slug.size_bytes), (&new.env, &new.commit, new.size_bytes));
        assert_eq!(slug.layers, ["runtime", "packages"]);
        assert!(!slug.awaits_archive);
        assert_eq!((&slug.commit_description, slug.updated_at), (&None, slug.created_at));
        assert_eq!(slug.process_types[&"web".parse().unwrap()], "serve");
        assert_eq!(f.store.slugs(app.id).await.unwrap(), [slug]);
        let keys = f.store.layer_keys_in_use().await.unwrap();
        assert_eq!(keys.into_iter().collect::<Vec<_>>(), ["packages", "runtime"]);
    }
}

case! {
    async fn an_awaited_archive_fills_a_slug_once(f: Fixture) {
        let app = f.app("example").await;
        let new = NewSlug {
            layers: Vec::new(),
            language: String::new(),
            size_bytes: 0,
            checksum: String::new(),
            ..new_slug(app.id, &[("web", "serve")])
        };
        let description = Some("fix a bug".to_owned());
        let slug = f.store.create_awaiting_slug(&change(), &new, description.clone()).await.unwrap();
        assert!(slug.awaits_archive);
        assert_eq!((&slug.commit_description, slug.updated_at), (&description, slug.created_at));
        f.pass(7);
        let contents = SlugContents {
            layers: vec!["archive".to_owned()],
            env: [("PATH".to_owned(), "/bin".to_owned())].into(),
            size_bytes: 99,
            checksum: "SHA256:11".to_owned(),
        };
        let filled = f.store.fill_slug(&change(), slug.id, &contents).await.unwrap();
        assert_eq!(f.store.slug(slug.id).await.unwrap(), filled);
        let expected = Slug {
            layers: contents.layers.clone(),
            env: contents.env.clone(),
            size_bytes: 99,
            checksum: "SHA256:11".to_owned(),
            awaits_archive: false,
            updated_at: f.clock.now(),
            ..slug
        };
        assert_eq!(filled, expected);
        let again = f.store.fill_slug(&change(), slug.id, &contents).await.unwrap_err();
        assert!(matches!(again, StoreError::Stale { resource: "slug", .. }));
        assert_eq!(f.kinds(app.id).await, ["app.create", "slug.create", "slug.update"]);
        f.live(app.id, slug.id).await;
        assert_eq!(f.store.app(app.id).await.unwrap().buildpack_provided_description, None);
        f.store.delete_app(&change(), app.id).await.unwrap();
        let gone = f.store.fill_slug(&change(), slug.id, &contents).await.unwrap_err();
        assert!(gone.is_not_found());
    }
}

case! {
    async fn of_two_archives_for_one_slug_one_counts(f: Fixture) {
        let app = f.app("example").await;
        let new = new_slug(app.id, &[("web", "serve")]);
        let slug = f.store.create_awaiting_slug(&change(), &new, None).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..6 {
            let store = f.store.clone();
            tasks.spawn(async move {
                let contents = SlugContents {
                    layers: vec![format!("archive {number}")],
                    env: BTreeMap::new(),
                    size_bytes: 1,
                    checksum: format!("SHA256:{number}"),
                };
                store.fill_slug(&change(), slug.id, &contents).await
            });
        }
        let filled: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
        assert_eq!(filled, [f.store.slug(slug.id).await.unwrap()]);
    }
}

case! {
    async fn a_slug_that_serves_is_not_given_up(f: Fixture) {
        let app = f.app("example").await;
        let mut slugs = Vec::new();
        for _ in 0..3 {
            slugs.push(f.slug(app.id, &[("web", "serve")]).await);
        }
        let new = |n: usize| store::NewRelease { slug: Some(slugs[n].id), ..f.new_release(app.id) };
        f.succeed(&f.release(&new(0)).await).await;
        f.succeed(&f.release(&new(1)).await).await;
        f.release(&new(2)).await;
        let mut given_up = Vec::new();
        for slug in &slugs {
            given_up.push(f.store.give_up_slug(&change(), app.id, slug.id).await.unwrap());
        }
        assert_eq!(given_up, [true, false, false], "one serves, one is being released");
        assert!(!f.store.give_up_slug(&change(), app.id, slugs[0].id).await.unwrap(), "once");
        assert!(f.store.slug(slugs[0].id).await.unwrap().removed_at.is_some());
        let kept: Vec<_> = f.store.kept_slugs().await.unwrap().iter().map(|slug| slug.id).collect();
        assert_eq!(kept, [slugs[1].id, slugs[2].id]);
        let refused = f.store.create_release(&change(), &new(0)).await.unwrap_err();
        assert!(refused.is_not_found(), "{refused}");
    }
}
