//! The store suite: every case runs on SQLite and on a real PostgreSQL server.
//!
//! Read [`fixture::Fixture`] first; [`case!`] turns one function into both tests.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

/// One case of the suite, run on both databases with a fresh store each.
macro_rules! case {
    (async fn $name:ident($fixture:ident: Fixture) $body:block) => {
        mod $name {
            use super::*;

            async fn run($fixture: crate::fixture::Fixture) $body

            #[tokio::test]
            async fn sqlite() {
                run(crate::fixture::Fixture::sqlite().await).await;
            }

            #[tokio::test]
            async fn postgres() {
                run(crate::fixture::Fixture::postgres().await).await;
            }
        }
    };
}

mod accounts;
mod apps;
mod build_settings;
mod builds;
mod certificates;
mod cluster;
mod config_vars;
mod dynos;
mod edge;
mod events;
mod fixture;
mod images;
mod keys;
mod kill;
mod log_drains;
mod open;
mod pipelines;
mod releases;
mod secrets;
mod sign_in;
mod sleep;
mod slugs;
mod source_hooks;
mod status_notes;
mod teams;
