//! Builds: from pending to finished, once, together with their release.

use api::ids::{AppId, SlugId};
use store::{Build, BuildOutcome, BuildStatus, NewBuild, NewRelease, StoreError};

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

async fn pending(f: &Fixture, app: AppId) -> Build {
    let new = NewBuild {
        app,
        account: f.owner.id,
        stack: "landfall-13".parse().unwrap(),
        source: None,
        source_url: Some("https://example.com/a.tgz".to_owned()),
        commit: Some("1a2b3c4d".to_owned()),
        buildpacks: vec!["heroku/python".to_owned()],
    };
    f.store.create_build(&change(), &new).await.unwrap()
}
