//! Builds: from pending to finished, once, together with their release.

use api::ids::{AppId, SlugId};
use store::{
    Build, BuildCause, BuildOutcome, BuildRecord, BuildStatus, NewBuild, NewRelease, StoreError,
};

use crate::fixture::{Fixture, change};

case! {
    async fn a_build_is_finished_once(f: Fixture) {
        let app = f.app("example").await;
        let slug = f.slug(app.id, &[("web", "serve")]).await;
        let failed = BuildOutcome::Failed { message: "no Procfile".to_owned() };
        let succeeded = BuildOutcome::Succeeded { slug: slug.id, release: None };
        for (outcome, status) in [(failed, BuildStatus::Failed), (succeeded, BuildStatus::Succeeded)] {
            let build = pending(&f, app.id).await;
            assert_eq!(build.source_url.as_deref(), Some("https://example.com/a.tgz"));
            assert_eq!(f.store.build(app.id, build.id).await.unwrap(), build);
            assert_eq!(f.store.pending_builds().await.unwrap(), std::slice::from_ref(&build));
            let finished = f.store.finish_build(&change(), build.id, &outcome).await.unwrap();
            assert_eq!(finished.status, status);
            let again = f.store.finish_build(&change(), build.id, &outcome).await.unwrap_err();
            assert!(matches!(again, StoreError::Stale { resource: "build", .. }));
            assert_eq!(f.store.build(app.id, build.id).await.unwrap(), finished);
        }
        assert!(f.store.pending_builds().await.unwrap().is_empty());
        assert_eq!(f.store.builds(app.id).await.unwrap().len(), 2);
        let other = f.app("other").await;
        let build = pending(&f, app.id).await;
        assert!(f.store.build(other.id, build.id).await.unwrap_err().is_not_found());
    }
}

case! {
    async fn a_build_and_its_release_are_made_together(f: Fixture) {
        let app = f.app("example").await;
        let slug = f.slug(app.id, &[("web", "serve")]).await;
        let build = pending(&f, app.id).await;
        let new = NewRelease { slug: Some(slug.id), ..f.new_release(app.id) };
        let (build, release) =
            f.store.finish_build_with_release(&change(), build.id, &new).await.unwrap();
        assert_eq!((build.slug, build.release), (Some(slug.id), Some(release.id)));
        assert_eq!(release.slug, Some(slug.id));
        let again = f.store.finish_build_with_release(&change(), build.id, &new).await.unwrap_err();
        assert!(matches!(again, StoreError::Stale { resource: "build", .. }));
        assert_eq!(f.store.releases(app.id).await.unwrap(), [release], "no second release");
    }
}

case! {
    async fn a_build_with_a_foreign_slug_stays_pending(f: Fixture) {
        let app = f.app("example").await;
        let build = pending(&f, app.id).await;
        let new = NewRelease { slug: Some(SlugId::new()), ..f.new_release(app.id) };
        let refused = f.store.finish_build_with_release(&change(), build.id, &new).await.unwrap_err();
        assert!(matches!(refused, StoreError::NotFound { resource: "slug", .. }));
        assert_eq!(f.store.pending_builds().await.unwrap(), [build]);
        assert_eq!(f.kinds(app.id).await, ["app.create", "build.create"]);
    }
}

case! {
    async fn builds_are_numbered_within_their_app(f: Fixture) {
        let (one, other) = (f.app("one").await, f.app("other").await);
        let numbers = [
            pending(&f, one.id).await.number,
            pending(&f, other.id).await.number,
            pending(&f, one.id).await.number,
        ];
        assert_eq!(numbers, [1, 1, 2]);
        let second = f.store.build_by_number(one.id, 2).await.unwrap();
        assert_eq!((second.app, second.cause), (one.id, BuildCause::Push));
        for none in [0, 3, u64::MAX] {
            assert!(f.store.build_by_number(one.id, none).await.unwrap_err().is_not_found());
        }
        let again = NewBuild { cause: BuildCause::Rebuild, rebuild_of: Some(1), ..new(&f, one.id) };
        let again = f.store.create_build(&change(), &again).await.unwrap();
        assert_eq!((again.number, again.cause, again.rebuild_of), (3, BuildCause::Rebuild, Some(1)));
    }
}

case! {
    async fn a_record_is_kept_until_its_app_goes(f: Fixture) {
        let app = f.app("example").await;
        let (first, second) = (pending(&f, app.id).await, pending(&f, app.id).await);
        assert_eq!(f.store.build_record(first.id).await.unwrap(), None);
        assert_eq!(f.store.newest_build_record(app.id, second.id).await.unwrap(), None);
        for text in ["{}", "{\"a\":1}"] {
            for (build, source) in [(&first, Some("s1")), (&second, Some("s2"))] {
                let kept = BuildRecord {
                    build: build.id,
                    source_layer: source.map(str::to_owned),
                    record: text.to_owned(),
                };
                f.store.keep_build_record(&change(), app.id, &kept).await.unwrap();
                assert_eq!(f.store.build_record(build.id).await.unwrap(), Some(kept));
            }
        }
        let newest = f.store.newest_build_record(app.id, second.id).await.unwrap();
        assert_eq!(newest.unwrap().build, first.id);
        let layers = f.store.source_layers().await.unwrap();
        assert_eq!(layers[&app.id], ["s2", "s1"]);
        f.store.delete_app(&change(), app.id).await.unwrap();
        assert_eq!(f.store.build_record(first.id).await.unwrap(), None);
        assert!(f.store.source_layers().await.unwrap().is_empty());
    }
}

fn new(f: &Fixture, app: AppId) -> NewBuild {
    NewBuild {
        app,
        account: f.owner.id,
        stack: "landfall-13".parse().unwrap(),
        source: None,
        source_url: Some("https://example.com/a.tgz".to_owned()),
        commit: Some("1a2b3c4d".to_owned()),
        buildpacks: vec!["heroku/python".to_owned()],
        cause: BuildCause::Push,
        rebuild_of: None,
    }
}

async fn pending(f: &Fixture, app: AppId) -> Build {
    f.store.create_build(&change(), &new(f, app)).await.unwrap()
}
