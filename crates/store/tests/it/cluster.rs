//! A PostgreSQL server of its own for this test program, reached by unix socket only.
//!
//! A shell keeps watch over it: when this program ends, however it ends, the shell's standard input
//! closes, and it stops the server and removes its directory.

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use sqlx::{Connection, Executor, postgres::PgConnection};

const WATCH: &str = r#"
set -e
directory=$(mktemp -d "${TMPDIR:-/tmp}/landfall-store.XXXXXX")
trap '"$1/pg_ctl" -D "$directory/cluster" -m immediate -w stop >/dev/null 2>&1 || true
      rm -rf "$directory"' EXIT
trap '' INT TERM HUP PIPE
"$1/initdb" -D "$directory/cluster" -U landfall -A trust -E UTF8 --locale=C --no-sync >/dev/null
"$1/pg_ctl" -D "$directory/cluster" -l "$directory/log" -w start >/dev/null \
    -o "-c listen_addresses= -c unix_socket_directories=$directory -c fsync=off" \
    || { cat "$directory/log" >&2; exit 1; }
echo "$directory"
read -r _ || true
"#;

pub(crate) struct Cluster {
    /// Holds the socket and, in `cluster`, all files of the server.
    pub(crate) directory: PathBuf,
    databases: AtomicU32,
    /// Keeps the pipe open that the shell watches.
    _watch: Child,
}

impl Cluster {
    /// The server, started by whoever asks first.
    pub(crate) fn get() -> &'static Self {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        CLUSTER.get_or_init(Self::start)
    }

    /// The URL of a new, empty database.
    pub(crate) async fn new_database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::SeqCst);
        let name = format!("suite_{number}");
        self.execute(&format!("CREATE DATABASE {name}")).await;
        self.url(&name)
    }

    /// Runs one statement as the server's administrator.
    pub(crate) async fn execute(&self, statement: &str) {
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        connection.execute(statement).await.unwrap();
        connection.close().await.unwrap();
    }

    fn url(&self, database: &str) -> String {
        format!(
            "postgres://landfall@localhost/{database}?host={}",
            self.directory.display()
        )
    }

    fn start() -> Self {
        let programs = programs();
        let mut watch = Command::new("sh");
        watch
            .args(["-c", WATCH, "sh"])
            .arg(&programs)
            .current_dir("/")
            .process_group(0);
        watch
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
            // PostgreSQL refuses to run as root.
            let (user, group) = postgres_ids();
            watch.uid(user).gid(group);
        }
        let mut watch = watch.spawn().unwrap();
        let mut directory = String::new();
        BufReader::new(watch.stdout.take().unwrap())
            .read_line(&mut directory)
            .unwrap();
        if directory.is_empty() {
            let mut complaint = String::new();
            watch
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut complaint)
                .unwrap();
            panic!("PostgreSQL did not start: {complaint}");
        }
        Self {
            directory: PathBuf::from(directory.trim_end()),
            databases: AtomicU32::new(0),
            _watch: watch,
        }
    }
}

/// Where Debian keeps the server's programs, of the newest version installed.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    versions
        .map(|version| version.path().join("bin"))
        .filter(|programs| programs.join("initdb").exists())
        .max_by_key(|programs| version_number(programs))
        .expect(
            "the store suite needs a PostgreSQL server; hint: run `cargo xtask test`, which \
             installs it, or `apt-get install postgresql`",
        )
}

fn version_number(programs: &Path) -> u32 {
    let version = programs
        .parent()
        .and_then(Path::file_name)
        .unwrap_or_default();
    version.to_string_lossy().parse().unwrap_or(0)
}

fn postgres_ids() -> (u32, u32) {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd
        .lines()
        .find(|line| line.starts_with("postgres:"))
        .expect("Debian's postgresql package makes the user postgres");
    let fields: Vec<_> = line.split(':').collect();
    (fields[2].parse().unwrap(), fields[3].parse().unwrap())
}
