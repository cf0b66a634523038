//! Connections: SQLite with one writer and several readers, or one PostgreSQL pool.
//!
//! It must not know tables. Read [`Backend`] first.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt, path::Path, sync::Once, time::Duration};

use sqlx::{
    Any, AnyConnection, AnyPool, Executor, Transaction, any::AnyPoolOptions,
    sqlite::SqliteConnectOptions,
};

use crate::{Result, StoreError};

const SQLITE_READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 10;
/// How long a statement or a caller waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the journal mode is asked for again while another process is opening the file.
const JOURNAL_RETRY: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Sqlite,
    Postgres,
}

/// The pools. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Backend {
    dialect: Dialect,
    writer: AnyPool,
    reader: AnyPool,
}

/// The URL of a SQLite file, made if missing.
pub(crate) fn sqlite_url(path: &Path) -> String {
    let escaped = path
        .to_string_lossy()
        .replace('%', "%25")
        .replace('?', "%3F");
    format!(
        "sqlite://{}",
        escaped.replace('#', "%23").replace(' ', "%20")
    )
}

impl Backend {
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        static DRIVERS: Once = Once::new();
        DRIVERS.call_once(sqlx::any::install_default_drivers);
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let pool = AnyPoolOptions::new()
                .max_connections(POSTGRES_CONNECTIONS)
                .acquire_timeout(TURN_TIMEOUT)
                .connect(url)
                .await?;
            return Ok(Self {
                dialect: Dialect::Postgres,
                writer: pool.clone(),
                reader: pool,
            });
        }
        if !url.starts_with("sqlite:") {
            return Err(StoreError::UnsupportedUrl);
        }
        if url.contains(":memory:") {
            // Every connection to memory is its own database, so there is exactly one, kept for ever.
            let pool = sqlite_pool(1, Access::Write)
                .min_connections(1)
                .connect(url)
                .await?;
            return Ok(Self {
                dialect: Dialect::Sqlite,
                writer: pool.clone(),
                reader: pool,
            });
        }
        let mode = if url.contains('?') {
            "&mode=rwc"
        } else {
            "?mode=rwc"
        };
        let url = format!("{url}{mode}");
        make_private(&url)?;
        let writer = sqlite_pool(1, Access::Write).connect(&url).await?;
        // Readers connect when they are needed, which is after the migrations: a connection that
        // knows a table from before would prepare `SELECT *` with its old columns.
        let reader = sqlite_pool(SQLITE_READERS, Access::Read).connect_lazy(&url)?;
        Ok(Self {
            dialect: Dialect::Sqlite,
            writer,
            reader,
        })
    }

    /// Starts a writing transaction.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Any>> {
        let (dialect, writer) = (self.dialect, self.writer.clone());
        to_its_end(async move {
            match dialect {
                // Taking the write lock at once avoids upgrades that fail half way.
                Dialect::Sqlite => writer.begin_with("BEGIN IMMEDIATE").await,
                Dialect::Postgres => writer.begin().await,
            }
        })
        .await
    }

    /// Commits a transaction; a caller that goes away does not stop it.
    pub(crate) async fn commit(transaction: Transaction<'static, Any>) -> Result<()> {
        to_its_end(transaction.commit()).await
    }

    /// Starts a transaction that excludes every other of its kind, in all processes.
    pub(crate) async fn begin_exclusive(&self) -> Result<Transaction<'static, Any>> {
        let mut transaction = self.begin().await?;
        if self.dialect == Dialect::Postgres {
            // An arbitrary number that only Landfall's schema changes use.
            sqlx::query("SELECT pg_advisory_xact_lock(7239114035)")
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction)
    }

    /// For reads outside transactions.
    pub(crate) const fn reader(&self) -> &AnyPool {
        &self.reader
    }

    pub(crate) async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

/// Makes the file so that only its owner may read it; SQLite gives its other files the same mode.
fn make_private(url: &str) -> Result<()> {
    let options: SqliteConnectOptions = url.parse()?;
    let mut file = OpenOptions::new();
    file.create(true).append(true).mode(0o600);
    file.open(options.get_filename()).map_err(sqlx::Error::Io)?;
    Ok(())
}

/// Runs a step on a task of its own, so that a caller who goes away cannot interrupt it: sqlx loses
/// track of a transaction whose `BEGIN` was interrupted, and then no one can write any more.
async fn to_its_end<T: Send + 'static>(
    step: impl Future<Output = Result<T, sqlx::Error>> + Send + 'static,
) -> Result<T> {
    match tokio::spawn(step).await {
        Ok(done) => Ok(done?),
        Err(stopped) => match stopped.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(StoreError::ShuttingDown),
        },
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

fn sqlite_pool(connections: u32, access: Access) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(TURN_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect(move |connection, _| Box::pin(prepare_sqlite(connection, access)))
}

async fn prepare_sqlite(connection: &mut AnyConnection, access: Access) -> Result<(), sqlx::Error> {
    let busy_timeout = format!("PRAGMA busy_timeout = {}", TURN_TIMEOUT.as_millis());
    connection.execute(busy_timeout.as_str()).await?;
    enter_wal(connection).await?;
    connection
        .execute("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")
        .await?;
    if access == Access::Read {
        connection.execute("PRAGMA query_only = ON").await?;
    }
    Ok(())
}

/// Switches to the write-ahead log. SQLite does not wait its turn for that, so this does.
async fn enter_wal(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    let deadline = tokio::time::Instant::now() + TURN_TIMEOUT;
    loop {
        match connection.execute("PRAGMA journal_mode = WAL").await {
            Err(error) if is_busy(&error) && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(JOURNAL_RETRY).await;
            }
            done => return done.map(|_| ()),
        }
    }
}

fn is_busy(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.message().contains("locked"))
}
