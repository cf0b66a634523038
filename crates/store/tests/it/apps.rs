//! Apps and the small things they own: domains, collaborators, features, buildpacks.

use api::ids::AppId;
use store::{
    AppUpdate, BuildCause, CollaboratorRole, DomainKind, DomainStatus, NewAccount, NewApp,
    NewBuild, NewCollaborator, NewDomain, Permission, StoreError,
};

use crate::fixture::change;

case! {
    async fn an_app_comes_with_its_domain_and_owner(f: Fixture) {
        let app = f.app("example").await;
        assert_eq!(f.store.app(app.id).await.unwrap(), app);
        assert_eq!(f.store.app_by_name(&app.name).await.unwrap(), app);
        let domains = f.store.domains(app.id).await.unwrap();
        assert_eq!(domains.len(), 1);
        assert_eq!((domains[0].hostname.as_str(), domains[0].kind), ("example.localhost", DomainKind::Heroku));
        let collaborators = f.store.collaborators(app.id).await.unwrap();
        assert_eq!(collaborators.len(), 1);
        assert_eq!((collaborators[0].account, collaborators[0].role), (f.owner.id, CollaboratorRole::Owner));
        assert_eq!(f.kinds(app.id).await, ["app.create"]);
        let missing = AppId::new();
        let refused = f.store.app(missing).await.unwrap_err();
        assert!(matches!(&refused, StoreError::NotFound { resource: "app", key } if *key == missing.to_string()));
    }
}

case! {
    async fn a_taken_name_is_a_conflict(f: Fixture) {
        f.app("example").await;
        let again = NewApp { hostname: "other.localhost".to_owned(), ..f.new_app("example") };
        let refused = f.store.create_app(&change(), &again).await.unwrap_err();
        assert!(matches!(&refused, StoreError::Conflict { resource: "app", key } if key == "example"), "{refused}");
    }
}

case! {
    async fn a_refused_change_leaves_nothing_behind(f: Fixture) {
        f.app("first").await;
        let before = f.store.events_after(0, 100).await.unwrap();
        let clash = NewApp { hostname: "FIRST.localhost".to_owned(), ..f.new_app("second") };
        let refused = f.store.create_app(&change(), &clash).await.unwrap_err();
        assert!(matches!(refused, StoreError::Conflict { resource: "domain", .. }), "{refused}");
        assert!(f.store.app_by_name(&"second".parse().unwrap()).await.unwrap_err().is_not_found());
        assert_eq!(f.store.apps().await.unwrap().len(), 1);
        assert_eq!(f.store.events_after(0, 100).await.unwrap(), before);
        f.app("second").await;
    }
}

case! {
    async fn renaming_moves_the_default_domain_only(f: Fixture) {
        let app = f.app("before").await;
        f.app("taken").await;
        let custom = NewDomain {
            app: app.id,
            hostname: "WWW.example.com".to_owned(),
            kind: DomainKind::Custom,
            cname: Some("www.example.com.landfall.test".to_owned()),
            sni_endpoint: None,
            status: DomainStatus::Pending,
        };
        f.store.create_domain(&change(), &custom).await.unwrap();
        f.pass(1);
        let name = "after".parse().unwrap();
        let renamed = f.store.rename_app(&change(), app.id, &name, "after.localhost").await.unwrap();
        assert_eq!((renamed.name.as_str(), renamed.id), ("after", app.id));
        assert!(renamed.updated_at > app.updated_at);
        let mut hostnames: Vec<_> =
            f.store.domains(app.id).await.unwrap().into_iter().map(|d| d.hostname).collect();
        hostnames.sort();
        assert_eq!(hostnames, ["after.localhost", "www.example.com"]);
        let taken = "taken".parse().unwrap();
        let refused = f.store.rename_app(&change(), app.id, &taken, "x.localhost").await.unwrap_err();
        assert!(matches!(refused, StoreError::Conflict { resource: "app", .. }));
        assert_eq!(f.store.app(app.id).await.unwrap(), renamed);
    }
}

case! {
    async fn an_update_changes_only_what_it_names(f: Fixture) {
        let app = f.app("example").await;
        let update = AppUpdate { maintenance: Some(true), ..AppUpdate::default() };
        let app = f.store.update_app(&change(), app.id, &update).await.unwrap();
        assert!(app.maintenance);
        let update = AppUpdate { repo_size: Some(7), build_stack: Some("landfall-14".parse().unwrap()), ..AppUpdate::default() };
        let app = f.store.update_app(&change(), app.id, &update).await.unwrap();
        assert!(app.maintenance);
        assert_eq!((app.repo_size, app.build_stack.as_str(), app.stack.as_str()), (Some(7), "landfall-14", "landfall-13"));
        let refused = f.store.update_app(&change(), AppId::new(), &update).await.unwrap_err();
        assert!(matches!(refused, StoreError::NotFound { resource: "app", .. }));
    }
}

case! {
    async fn a_deleted_app_leaves_only_its_events(f: Fixture) {
        let kept = f.app("kept").await;
        let app = f.app("example").await;
        let slug = f.slug(app.id, &[("web", "serve")]).await;
        f.set(app.id, &[("A", Some("1"))]).await;
        let build = NewBuild {
            app: app.id, account: f.owner.id, stack: app.stack.clone(), source: None,
            source_url: None, commit: None, buildpacks: vec![], cause: BuildCause::Push, rebuild_of: None,
        };
        let build = f.store.create_build(&change(), &build).await.unwrap();
        let release = store::NewRelease { slug: Some(slug.id), ..f.new_release(app.id) };
        let (_, release) =
            f.store.finish_build_with_release(&change(), build.id, &release).await.unwrap();
        let release = f.succeed(&release).await;
        let dyno = f.dyno(&release, "web").await;
        f.store.update_app_feature(&change(), app.id, "http-end-to-end-encryption", true).await.unwrap();
        f.store.replace_buildpacks(&change(), app.id, &["heroku/python".to_owned()]).await.unwrap();

        f.store.delete_app(&change(), app.id).await.unwrap();
        assert!(f.store.app(app.id).await.unwrap_err().is_not_found());
        assert!(f.store.slug(slug.id).await.unwrap_err().is_not_found());
        assert!(f.store.build(app.id, build.id).await.unwrap_err().is_not_found());
        assert!(f.store.dyno(dyno.id).await.unwrap_err().is_not_found());
        assert!(f.store.config_vars(app.id).await.unwrap_err().is_not_found());
        assert!(f.store.releases(app.id).await.unwrap().is_empty());
        assert!(f.store.formation(app.id).await.unwrap().is_empty());
        assert!(f.store.buildpacks(app.id).await.unwrap().is_empty());
        assert!(f.store.app_features(app.id).await.unwrap().is_empty());
        assert_eq!(f.store.all_domains().await.unwrap().len(), 1);
        let events = f.store.events(app.id, 100).await.unwrap();
        assert_eq!(events[0].kind, "app.destroy");
        assert_eq!(events[0].details["name"], "example");
        assert_eq!(events.last().unwrap().kind, "app.create");
        assert_eq!(f.store.apps().await.unwrap(), [kept]);
        f.app("example").await;
    }
}

case! {
    async fn collaborators_see_the_app_until_removed(f: Fixture) {
        let app = f.app("example").await;
        let new = NewAccount { email: "friend@example.com".to_owned(), password_hash: None };
        let friend = f.store.create_account(&change(), &new).await.unwrap();
        assert!(f.store.apps_of(friend.id).await.unwrap().is_empty());
        let mut new = NewCollaborator {
            account: friend.id,
            role: CollaboratorRole::Collaborator,
            permissions: [Permission::View].into(),
        };
        let made = f.store.create_collaborator(&change(), app.id, &new).await.unwrap();
        let again = f.store.create_collaborator(&change(), app.id, &new).await;
        assert!(matches!(again.unwrap_err(), StoreError::Conflict { .. }));
        assert_eq!(f.store.apps_of(friend.id).await.unwrap(), std::slice::from_ref(&app));
        assert_eq!(f.store.apps_of(f.owner.id).await.unwrap(), std::slice::from_ref(&app));
        assert_eq!(f.store.collaborator_of(app.id, friend.id).await.unwrap().as_ref(), Some(&made));
        new.permissions.insert(Permission::Deploy);
        let (which, permissions) = ((app.id, made.id), &new.permissions);
        let changed = f.store.update_collaborator(&change(), which, permissions).await;
        assert_eq!(changed.unwrap().permissions, new.permissions);
        f.store.delete_collaborator(&change(), app.id, made.id).await.unwrap();
        assert_eq!(f.store.collaborators(app.id).await.unwrap().len(), 1);
    }
}

case! {
    async fn features_and_buildpacks_are_replaced(f: Fixture) {
        let app = f.app("example").await;
        for enabled in [true, false] {
            let feature = f.store.update_app_feature(&change(), app.id, "preboot", enabled).await.unwrap();
            assert_eq!(feature.enabled, enabled);
            assert_eq!(f.store.app_features(app.id).await.unwrap(), [feature]);
        }
        for urls in [vec!["heroku/nodejs".to_owned(), "heroku/python".to_owned()], vec![]] {
            let made = f.store.replace_buildpacks(&change(), app.id, &urls).await.unwrap();
            assert_eq!(f.store.buildpacks(app.id).await.unwrap(), made);
            assert_eq!(made.into_iter().map(|b| b.url).collect::<Vec<_>>(), urls);
        }
    }
}

case! {
    async fn a_hostname_belongs_to_one_app(f: Fixture) {
        let (app, other) = (f.app("example").await, f.app("other").await);
        let new = NewDomain {
            app: app.id, hostname: "www.example.com".to_owned(), kind: DomainKind::Custom,
            cname: None, sni_endpoint: None,
            status: DomainStatus::Pending,
        };
        let domain = f.store.create_domain(&change(), &new).await.unwrap();
        assert_eq!(f.store.domain_by_hostname("WWW.Example.com").await.unwrap(), Some(domain.clone()));
        let stolen = NewDomain { app: other.id, ..new };
        let refused = f.store.create_domain(&change(), &stolen).await.unwrap_err();
        assert!(matches!(refused, StoreError::Conflict { resource: "domain", .. }));
        assert!(f.store.domain(other.id, domain.id).await.unwrap_err().is_not_found());
        assert!(f.store.delete_domain(&change(), other.id, domain.id).await.unwrap_err().is_not_found());
        let status = DomainStatus::Succeeded;
        let domain = f.store.set_domain_status(&change(), (app.id, domain.id), status).await.unwrap();
        assert_eq!(f.store.domain(app.id, domain.id).await.unwrap(), domain);
        f.store.delete_domain(&change(), app.id, domain.id).await.unwrap();
        assert_eq!(f.store.domain_by_hostname("www.example.com").await.unwrap(), None);
    }
}
