//! Opening: again, at once, with a wrong key, and what never opens.

use std::os::unix::fs::PermissionsExt;

use api::clock::Clock;
use store::{Store, StoreConfig, StoreError};

use crate::fixture::{ROOT_KEY, vars};

case! {
    async fn migrations_run_once(f: Fixture) {
        let app = f.app("example").await;
        for _ in 0..3 {
            let store = Store::open(f.config()).await.unwrap();
            assert_eq!(store.apps().await.unwrap(), std::slice::from_ref(&app));
            store.close().await;
        }
    }
}

case! {
    async fn a_store_may_be_opened_many_times_at_once(f: Fixture) {
        let url = if f.is_postgres() {
            crate::cluster::Cluster::get().new_database().await
        } else {
            StoreConfig::sqlite(&f.files().join("fresh.db"), ROOT_KEY, Clock::system()).url
        };
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let config = StoreConfig { url: url.clone(), ..f.config() };
            tasks.spawn(async move { Store::open(config).await.unwrap() });
        }
        let stores = tasks.join_all().await;
        for store in &stores {
            assert!(store.apps().await.unwrap().is_empty());
        }
        for store in &stores {
            store.close().await;
        }
    }
}

case! {
    async fn a_wrong_root_key_is_refused_at_once(f: Fixture) {
        let app = f.app("example").await;
        f.set(app.id, &[("A", Some("1"))]).await;
        let wrong = StoreConfig { root_key: [43; 32], ..f.config() };
        let refused = Store::open(wrong).await.unwrap_err();
        assert!(matches!(refused, StoreError::WrongRootKey));
        assert!(refused.to_string().contains("root key"), "{refused}");
        assert_eq!(f.store.config_vars(app.id).await.unwrap(), vars(&[("A", "1")]));
    }
}

case! {
    async fn a_newer_or_different_schema_is_refused(f: Fixture) {
        sqlx::any::install_default_drivers();
        let pool = sqlx::AnyPool::connect(&f.url).await.unwrap();
        let insert = "INSERT INTO schema_migrations (version, checksum, applied_at) VALUES (999, 'x', 0)";
        sqlx::query(insert).execute(&pool).await.unwrap();
        let refused = Store::open(f.config()).await.unwrap_err();
        assert!(matches!(refused, StoreError::NewerSchema { found: 999, .. }), "{refused}");
        sqlx::query("DELETE FROM schema_migrations WHERE version = 999").execute(&pool).await.unwrap();
        sqlx::query("UPDATE schema_migrations SET checksum = 'x'").execute(&pool).await.unwrap();
        let refused = Store::open(f.config()).await.unwrap_err();
        assert!(matches!(refused, StoreError::ChangedMigration { version: 1 }), "{refused}");
        pool.close().await;
    }
}

case! {
    async fn slugs_from_before_archives_are_as_they_were(f: Fixture) {
        let app = f.app("example").await;
        let slug = f.slug(app.id, &[("web", "serve")]).await;
        f.store.close().await;
        sqlx::any::install_default_drivers();
        let pool = sqlx::AnyPool::connect(&f.url).await.unwrap();
        for undo in [
            "ALTER TABLE slugs DROP COLUMN commit_description",
            "ALTER TABLE slugs DROP COLUMN awaits_archive",
            "ALTER TABLE slugs DROP COLUMN updated_at",
            "DELETE FROM schema_migrations WHERE version = 2",
        ] {
            sqlx::query(undo).execute(&pool).await.unwrap();
        }
        pool.close().await;
        let store = Store::open(f.config()).await.unwrap();
        assert_eq!(store.slug(slug.id).await.unwrap(), slug);
    }
}

case! {
    async fn builds_from_before_numbers_are_numbered(f: Fixture) {
        let (app, other) = (f.app("example").await, f.app("other").await);
        let mut before = Vec::new();
        for app in [app.id, other.id, app.id, app.id] {
            before.push(f.store.create_build(&crate::fixture::change(), &store::NewBuild {
                app, account: f.owner.id, stack: "landfall-13".parse().unwrap(), source: None,
                source_url: None, commit: None, buildpacks: vec![],
                cause: store::BuildCause::Archive, rebuild_of: None,
            }).await.unwrap());
        }
        f.store.close().await;
        sqlx::any::install_default_drivers();
        let pool = sqlx::AnyPool::connect(&f.url).await.unwrap();
        for undo in [
            "DROP INDEX builds_by_number",
            "ALTER TABLE builds DROP COLUMN number",
            "ALTER TABLE builds DROP COLUMN cause",
            "ALTER TABLE builds DROP COLUMN rebuild_of",
            "ALTER TABLE slugs DROP COLUMN removed_at",
            "DROP TABLE build_records",
            "DELETE FROM schema_migrations WHERE version = 8",
        ] {
            sqlx::query(undo).execute(&pool).await.unwrap();
        }
        pool.close().await;
        let store = Store::open(f.config()).await.unwrap();
        for build in before {
            assert_eq!(store.build(build.app, build.id).await.unwrap(), build);
        }
    }
}

#[tokio::test]
async fn a_store_in_memory_works_without_files() {
    let config = StoreConfig {
        url: "sqlite::memory:".to_owned(),
        root_key: ROOT_KEY,
        clock: Clock::system(),
    };
    let store = Store::open(config).await.unwrap();
    let new = store::NewAccount {
        email: "a@example.com".to_owned(),
        password_hash: None,
    };
    let account = store
        .create_account(&crate::fixture::change(), &new)
        .await
        .unwrap();
    assert_eq!(store.account(account.id).await.unwrap(), account);
}

#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a%20b?c#d.db");
    let store = Store::open(StoreConfig::sqlite(&path, ROOT_KEY, Clock::system()))
        .await
        .unwrap();
    assert!(path.exists(), "the path is taken as it is");
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
    store.close().await;
}

#[tokio::test]
async fn other_databases_are_refused() {
    let config = StoreConfig {
        url: "mysql://root:secret@localhost/x".to_owned(),
        root_key: ROOT_KEY,
        clock: Clock::system(),
    };
    assert!(!format!("{config:?}").contains("secret"));
    let refused = Store::open(config).await.unwrap_err();
    assert!(matches!(refused, StoreError::UnsupportedUrl));
    assert!(!refused.to_string().contains("secret"));
}
