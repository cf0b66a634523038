//! Brings the schema up to date, once, however many processes open the database at the same time.

use api::clock::Time;
use sha2::{Digest, Sha256};
use sqlx::{AnyConnection, Executor, Row};

use crate::{Result, StoreError, backend::Backend, seal::RootKey};

struct Migration {
    version: i64,
    sql: &'static str,
}

/// In order of version. A migration never changes once it has been released.
const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        sql: include_str!("../migrations/0001_spine.sql"),
    },
    Migration {
        version: 2,
        sql: include_str!("../migrations/0002_slug_archives.sql"),
    },
    Migration {
        version: 3,
        sql: include_str!("../migrations/0003_life_cycle.sql"),
    },
    Migration {
        version: 4,
        sql: include_str!("../migrations/0004_sleep.sql"),
    },
    Migration {
        version: 5,
        sql: include_str!("../migrations/0005_certificates.sql"),
    },
    Migration {
        version: 6,
        sql: include_str!("../migrations/0006_edge.sql"),
    },
    Migration {
        version: 7,
        sql: include_str!("../migrations/0007_status_notes.sql"),
    },
    Migration {
        version: 8,
        sql: include_str!("../migrations/0008_build_records.sql"),
    },
    Migration {
        version: 9,
        sql: include_str!("../migrations/0009_images.sql"),
    },
    Migration {
        version: 10,
        sql: include_str!("../migrations/0010_doors.sql"),
    },
    Migration {
        version: 11,
        sql: include_str!("../migrations/0011_teams.sql"),
    },
    Migration {
        version: 12,
        sql: include_str!("../migrations/0012_sign_in.sql"),
    },
    Migration {
        version: 14,
        sql: include_str!("../migrations/0014_slug_images.sql"),
    },
    Migration {
        version: 15,
        sql: include_str!("../migrations/0015_build_settings.sql"),
    },
    Migration {
        version: 16,
        sql: include_str!("../migrations/0016_pipelines.sql"),
    },
    Migration {
        version: 17,
        sql: include_str!("../migrations/0017_log_drains.sql"),
    },
];

/// Runs what is missing and checks the root key, in one transaction.
pub(crate) async fn run(backend: &Backend, root_key: &RootKey, now: Time) -> Result<()> {
    let mut transaction = backend.begin_exclusive().await?;
    let table = "CREATE TABLE IF NOT EXISTS schema_migrations (
        version BIGINT PRIMARY KEY NOT NULL, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)";
    transaction.execute(table).await?;
    let newest = sqlx::query("SELECT COALESCE(MAX(version), 0) FROM schema_migrations")
        .fetch_one(&mut *transaction)
        .await?;
    let found: i64 = newest.try_get(0)?;
    let known = MIGRATIONS.last().map_or(0, |migration| migration.version);
    if found > known {
        return Err(StoreError::NewerSchema { found, known });
    }
    for migration in MIGRATIONS {
        apply(&mut transaction, migration, now).await?;
    }
    check_root_key(&mut transaction, root_key).await?;
    Backend::commit(transaction).await
}

async fn apply(connection: &mut AnyConnection, migration: &Migration, now: Time) -> Result<()> {
    let checksum = format!("{:x}", Sha256::digest(migration.sql));
    let applied = sqlx::query("SELECT checksum FROM schema_migrations WHERE version = $1")
        .bind(migration.version)
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(applied) = applied {
        let same = applied.try_get::<String, _>(0)? == checksum;
        let version = migration.version;
        return if same {
            Ok(())
        } else {
            Err(StoreError::ChangedMigration { version })
        };
    }
    connection.execute(migration.sql).await?;
    sqlx::query(
        "INSERT INTO schema_migrations (version, checksum, applied_at) VALUES ($1, $2, $3)",
    )
    .bind(migration.version)
    .bind(checksum)
    .bind(now.as_micros())
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// The first opening leaves a known text sealed under the root key; the others open it.
async fn check_root_key(connection: &mut AnyConnection, root_key: &RootKey) -> Result<()> {
    let check = sqlx::query("SELECT sealed FROM root_key_check WHERE id = 1")
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(check) = check {
        return root_key.verify(&check.try_get::<String, _>(0)?);
    }
    sqlx::query("INSERT INTO root_key_check (id, sealed) VALUES (1, $1)")
        .bind(root_key.check_text())
        .execute(&mut *connection)
        .await?;
    Ok(())
}
