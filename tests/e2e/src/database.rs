//! A PostgreSQL server somewhere else, as an app's database usually is: in a network namespace of
//! its own, at an address that is nobody's on the internet.
//!
//! A shell keeps watch over it: when the test program ends, however it ends, the shell's standard
//! input closes, and it stops the server and removes namespace, link and directory.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
};

const PASSWORD: &str = "only-for-this-test";

/// Arguments: NAME NUMBER PASSWORD. Says `up` when the server answers.
const WATCH: &str = r#"
set -e
name=$1 password=$3
near=203.0.113.$(($2 * 4 + 1)) far=203.0.113.$(($2 * 4 + 2))
programs=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
directory=$(mktemp -d "${TMPDIR:-/tmp}/$name.XXXXXX")
as_postgres() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }
trap 'as_postgres "$programs/pg_ctl" -D "$directory/cluster" -m immediate -w stop >/dev/null 2>&1 || true
      ip link delete "$name" 2>/dev/null || true
      ip netns delete "$name" 2>/dev/null || true
      rm -rf "$directory"' EXIT
trap '' INT TERM HUP PIPE
ip netns add "$name"
ip link add "$name" type veth peer name eth0 netns "$name"
ip address add "$near/30" dev "$name"
ip link set "$name" up
ip -n "$name" address add "$far/30" dev eth0
ip -n "$name" link set eth0 up
printf '%s' "$password" > "$directory/password"
chown -R postgres: "$directory"
cd "$directory"
as_postgres "$programs/initdb" -D cluster -U shop -A scram-sha-256 --pwfile=password -E UTF8 --locale=C --no-sync > /dev/null
echo "host all all 0.0.0.0/0 scram-sha-256" >> cluster/pg_hba.conf
ip netns exec "$name" setpriv --reuid postgres --regid postgres --clear-groups \
    "$programs/pg_ctl" -D cluster -l server.log -w start >/dev/null \
    -o "-c listen_addresses=$far -c unix_socket_directories=$directory -c fsync=off" || { cat server.log >&2; exit 1; }
echo "$far"
read -r _ || true
"#;

/// A running server with one database, `postgres`.
#[derive(Debug)]
pub struct Database {
    address: String,
    watch: Child,
}

impl Database {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not start; Debian's package `postgresql` has to be there.
    pub fn start() -> Self {
        let pid = std::process::id();
        let mut watch = Command::new("sh");
        watch
            .args(["-c", WATCH, "sh"])
            .args([format!("db-{pid}"), (pid % 64).to_string()])
            .arg(PASSWORD)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut watch = watch.spawn().expect("a shell starts");
        let mut address = String::new();
        let said = watch.stdout.take().expect("stdout is piped");
        BufReader::new(said)
            .read_line(&mut address)
            .expect("the shell can be heard");
        if address.is_empty() {
            let mut complaint = String::new();
            if let Some(errors) = &mut watch.stderr {
                errors
                    .read_to_string(&mut complaint)
                    .expect("the shell can be heard");
            }
            panic!("PostgreSQL did not start: {complaint}");
        }
        Self {
            address: address.trim_end().to_owned(),
            watch,
        }
    }

    /// Where an app finds it, for `DATABASE_URL`.
    pub fn url(&self) -> String {
        format!("postgres://shop:{PASSWORD}@{}:5432/postgres", self.address)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        // The shell has nothing to say any more.
        drop(self.watch.wait());
    }
}
