//! Pipelines, the apps in them, and promotions.

use api::pipeline_couplings::Stage;
use store::StoreError;

use crate::fixture::change;

case! {
    async fn a_pipeline_holds_apps_in_stages(f: Fixture) {
        let (staging, production) = (f.app("staging").await, f.app("production").await);
        let owner = f.owner.id;
        let name = "pipe".parse().unwrap();
        let pipe = f.store.create_pipeline(&change(), owner, &name).await.unwrap();
        let taken = f.store.create_pipeline(&change(), owner, &name).await.unwrap_err();
        assert!(matches!(taken, StoreError::Conflict { resource: "pipeline", .. }));
        assert_eq!(f.store.pipeline_by_name(&name).await.unwrap(), pipe);
        let first = (pipe.id, staging.id);
        let first = f.store.create_pipeline_coupling(&change(), first, Stage::Review).await.unwrap();
        let second = (pipe.id, production.id);
        f.store.create_pipeline_coupling(&change(), second, Stage::Production).await.unwrap();
        let again = f.store.create_pipeline_coupling(&change(), second, Stage::Test).await;
        assert!(matches!(again, Err(StoreError::Conflict { .. })));
        let moved = f.store.update_pipeline_coupling(&change(), &first, Stage::Staging).await;
        assert_eq!(moved.unwrap().stage, Stage::Staging);
        assert_eq!(f.store.coupling_of_app(staging.id).await.unwrap().id, first.id);
        assert_eq!(f.store.couplings_of_pipeline(pipe.id).await.unwrap().len(), 2);
        f.store.delete_pipeline_coupling(&change(), &first).await.unwrap();
        assert!(f.store.pipeline_coupling(first.id).await.is_err());
        let renamed = f.store.rename_pipeline(&change(), pipe.id, &"other".parse().unwrap()).await;
        f.store.delete_pipeline(&change(), &renamed.unwrap()).await.unwrap();
        assert_eq!(f.store.pipelines().await.unwrap(), []);
        assert_eq!(f.store.pipeline_couplings().await.unwrap(), []);
        f.store.app(production.id).await.unwrap();
    }
}

case! {
    async fn who_works_on_an_app_of_a_pipeline_knows_it(f: Fixture) {
        let other = store::NewAccount { email: "other@example.com".to_owned(), password_hash: None };
        let other = f.store.create_account(&change(), &other).await.unwrap().id;
        let app = f.app("example").await.id;
        let pipe = f.store.create_pipeline(&change(), other, &"pipe".parse().unwrap()).await.unwrap();
        assert_eq!(f.store.pipelines_of(f.owner.id).await.unwrap(), []);
        let both = (pipe.id, app);
        f.store.create_pipeline_coupling(&change(), both, Stage::Staging).await.unwrap();
        assert_eq!(f.store.pipelines_of(f.owner.id).await.unwrap(), std::slice::from_ref(&pipe));
        let given = f.store.transfer_pipeline(&change(), pipe.id, f.owner.id).await.unwrap();
        assert_eq!(given.owner, f.owner.id);
        assert_eq!(f.store.pipelines_of(other).await.unwrap(), []);
    }
}

case! {
    async fn a_slug_is_copied_with_what_became_of_it(f: Fixture) {
        let (from, to) = (f.app("from").await, f.app("to-there").await);
        let slug = f.slug(from.id, &[("web", "serve")]).await;
        let release = f.live(from.id, slug.id).await;
        let pipe = f.store.create_pipeline(&change(), f.owner.id, &"pipe".parse().unwrap()).await;
        let source = (from.id, release.id);
        let promotion = f.store
            .create_pipeline_promotion(&change(), pipe.unwrap().id, source, &[to.id])
            .await
            .unwrap();
        assert_eq!(f.store.pipeline_promotion(promotion.id).await.unwrap(), promotion);
        let targets = f.store.promotion_targets(promotion.id).await.unwrap();
        assert_eq!(f.store.open_promotion_targets().await.unwrap(), targets);
        let copy = f.store.copy_slug(&change(), slug.id, to.id).await.unwrap();
        assert_eq!((copy.app, &copy.layers, &copy.commit), (to.id, &slug.layers, &slug.commit));
        let made = f.live(to.id, copy.id).await;
        f.store.note_promotion_target(&change(), &targets[0], &Ok(made.id)).await.unwrap();
        let noted = f.store.promotion_targets(promotion.id).await.unwrap();
        assert_eq!(noted[0].release, Some(made.id));
        assert_eq!(f.store.open_promotion_targets().await.unwrap(), []);
        let slug = f.slug(from.id, &[("web", "serve")]).await;
        assert!(f.store.give_up_slug(&change(), from.id, slug.id).await.unwrap());
        let gone = f.store.copy_slug(&change(), slug.id, to.id).await.unwrap_err();
        assert!(matches!(gone, StoreError::Stale { .. }));
    }
}
