//! Secrets: nothing that must stay secret can be read from the database's files.

use std::{path::Path, process::Command};

use store::{
    BuildCause, CertificatePair, NewAuthorization, NewBuild, NewRelease, NewSource, hash_token,
};

use crate::{cluster::Cluster, fixture::change};

const CANARY: &str = "canary-5d41402abc4b2a76b9719d911017c592";
/// Not secret: proves that the scan would see what is there.
const MARK: &str = "mark-7d793037a0760186574b0282f2f435e7";

case! {
    async fn no_file_of_the_database_holds_a_secret(f: Fixture) {
        let app = f.app("example").await;
        let new = NewAuthorization {
            account: f.owner.id,
            description: MARK.to_owned(),
            scope: vec!["global".to_owned()],
            token_hash: hash_token(CANARY),
            token_hint: "can…592".to_owned(),
            expires_at: None,
            client: None,
            is_session: false,
        };
        f.store.create_authorization(&change(), &new).await.unwrap();
        let pair = CertificatePair {
            certificate_chain: MARK.to_owned(),
            private_key: CANARY.to_owned(),
            starts_at: app.created_at,
            expires_at: app.created_at,
        };
        assert!(!format!("{pair:?}").contains(CANARY));
        f.store.create_sni_endpoint(&change(), (app.id, "name"), &pair, &[]).await.unwrap();
        f.store.save_acme_account(&change(), MARK, CANARY).await.unwrap();
        let source = NewSource { account: f.owner.id, secret_hash: hash_token(CANARY) };
        f.store.create_source(&change(), &source).await.unwrap();
        let release = f.set(app.id, &[("SECRET", Some(CANARY)), ("OTHER", Some(CANARY))]).await;
        let vars = f.store.release_config_vars(release.id).await.unwrap();
        let rollback = NewRelease { config_replacement: Some(vars), ..f.new_release(app.id) };
        assert!(!format!("{rollback:?}").contains(CANARY));
        f.release(&rollback).await;
        f.set(app.id, &[("SECRET", None)]).await;
        let build = NewBuild {
            app: app.id,
            account: f.owner.id,
            stack: app.stack.clone(),
            source: None,
            source_url: Some(format!("https://example.com/a.tgz?signature={CANARY}")),
            commit: None,
            buildpacks: vec![], cause: BuildCause::Push, rebuild_of: None,
        };
        f.store.create_build(&change(), &build).await.unwrap();
        f.store.delete_app(&change(), app.id).await.unwrap();
        if f.is_postgres() {
            Cluster::get().execute("CHECKPOINT").await;
        }

        assert_eq!(files_with(&f.files(), CANARY), "", "these files hold a secret");
        assert_ne!(files_with(&f.files(), MARK), "", "the search did not look where the rows are");
    }
}

case! {
    async fn equal_values_do_not_look_equal(f: Fixture) {
        let app = f.app("example").await;
        f.set(app.id, &[("A", Some(CANARY)), ("B", Some(CANARY))]).await;
        sqlx::any::install_default_drivers();
        let pool = sqlx::AnyPool::connect(&f.url).await.unwrap();
        let sealed: Vec<(String,)> =
            sqlx::query_as("SELECT sealed FROM config_vars").fetch_all(&pool).await.unwrap();
        pool.close().await;
        assert_eq!(sealed.len(), 2);
        assert_ne!(sealed[0], sealed[1]);
    }
}

case! {
    async fn a_value_moved_to_another_name_does_not_open(f: Fixture) {
        let app = f.app("example").await;
        f.set(app.id, &[("A", Some(CANARY))]).await;
        sqlx::any::install_default_drivers();
        let pool = sqlx::AnyPool::connect(&f.url).await.unwrap();
        sqlx::query("UPDATE config_vars SET name = 'B'").execute(&pool).await.unwrap();
        pool.close().await;
        let refused = f.store.config_vars(app.id).await.unwrap_err();
        assert!(matches!(refused, store::StoreError::Unsealable { .. }), "{refused}");
    }
}

/// The files below a directory that contain a text, found by grep because they are large.
fn files_with(directory: &Path, text: &str) -> String {
    let found = Command::new("grep")
        .args([
            "--recursive",
            "--files-with-matches",
            "--text",
            "--fixed-strings",
            text,
        ])
        .arg(directory)
        .output()
        .unwrap();
    String::from_utf8(found.stdout).unwrap()
}
