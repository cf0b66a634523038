//! A platform of its own for a test: `landfall up` on free ports over a fresh directory.

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    shell::{self, Output},
    wait,
};

/// Seconds a web dyno may take to boot here: short, so that boot failures are quick to see.
const BOOT_TIMEOUT_SECONDS: &str = "20";

/// Of an account that no machine has.
const ORDINARY_USER: u32 = 54_321;

/// A running platform; dropping it stops it and everything it started.
pub struct Platform {
    directory: TempDir,
    up: Child,
    ready: Value,
    names: AtomicU32,
}

impl Platform {
    /// Starts one and waits until it serves.
    ///
    /// # Panics
    /// When it does not come up; what it said is shown.
    pub fn start() -> Self {
        Self::start_as(None, &[])
    }

    /// Starts one that is told more by its environment.
    ///
    /// # Panics
    /// As [`Platform::start`].
    pub fn start_with(environment: &[(&str, String)]) -> Self {
        Self::start_as(None, environment)
    }

    /// Starts one that an ordinary user runs, with all its files and programs its own.
    ///
    /// # Panics
    /// As [`Platform::start`].
    pub fn start_alone() -> Self {
        Self::start_as(Some(ORDINARY_USER), &[])
    }

    fn start_as(user: Option<u32>, environment: &[(&str, String)]) -> Self {
        let directory = TempDir::with_prefix("lf-e2e-").expect("a temporary directory");
        let ready_file = directory.path().join("ready.json");
        if let Some(user) = user {
            give_programs(directory.path(), user);
        }
        let up = spawn(directory.path(), &ready_file, user, environment);
        let mut platform = Self {
            directory,
            up,
            ready: Value::Null,
            names: AtomicU32::new(1),
        };
        platform.ready = platform.await_ready(&ready_file);
        platform
    }

    /// The platform that tests share which do not break it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Platform> = OnceLock::new();
        extern "C" fn stop() {
            if let Some(platform) = SHARED.get() {
                platform.stop();
            }
        }
        SHARED.get_or_init(|| {
            // Statics are not dropped; this runs when the test program ends.
            register_exit(stop);
            Self::start()
        })
    }

    fn await_ready(&mut self, ready_file: &Path) -> Value {
        wait::until("the platform is ready", || {
            if let Ok(Some(status)) = self.up.try_wait() {
                panic!("`landfall up` ended with {status}:\n{}", self.said());
            }
            serde_json::from_slice(&std::fs::read(ready_file).ok()?).ok()
        })
    }

    /// What `landfall up` and its children wrote.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("up.log")).unwrap_or_default()
    }

    /// What the access log has on a request, in the files that hold it now.
    pub fn logged(&self, request_id: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut directories = vec![self.data().join("logs"), self.data().join("router")];
        while let Some(directory) = directories.pop() {
            let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
            for path in entries.map(|entry| entry.path()) {
                if path.is_dir() {
                    directories.push(path);
                    continue;
                }
                let bytes = std::fs::read(path).unwrap_or_default();
                let text = String::from_utf8_lossy(&bytes);
                let lines = text.lines().filter(|line| line.contains(request_id));
                found.extend(lines.map(|line| around(line, request_id).to_owned()));
            }
        }
        found
    }

    /// A field of the ready file.
    ///
    /// # Panics
    /// When there is no such field.
    pub fn ready(&self, field: &str) -> &str {
        self.ready[field]
            .as_str()
            .unwrap_or_else(|| panic!("the ready file has {field}"))
    }

    /// Where the router takes plain HTTP.
    pub fn http_addr(&self) -> SocketAddr {
        self.ready("http_addr").parse().expect("an address")
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A directory for the test's own files.
    pub fn scratch(&self, name: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(&path).expect("the directory can be made");
        path
    }

    /// A new app name.
    pub fn app_name(&self, what: &str) -> String {
        format!("{what}-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// Runs the official CLI with the admin's token.
    pub fn heroku(&self, arguments: &[&str]) -> Output {
        self.heroku_with(arguments, "")
    }

    /// The same, with something on its standard input.
    pub fn heroku_with(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.heroku_command(arguments);
        command.env("HEROKU_API_KEY", self.ready("admin_token"));
        shell::run(&mut command, input)
    }

    /// The official CLI pointed at this platform, without a token.
    pub fn heroku_command(&self, arguments: &[&str]) -> Command {
        let heroku = wait::repository().join("target/heroku-cli/node_modules/heroku/bin/run.js");
        assert!(
            heroku.is_file(),
            "no heroku CLI\nhint: run `cargo xtask e2e`, which installs it"
        );
        let mut command = Command::new("node");
        command
            .arg(heroku)
            .args(arguments)
            .current_dir(self.scratch("elsewhere"));
        for line in self.environment().lines() {
            let assignment = line.strip_prefix("export ").unwrap_or(line);
            if let Some((name, value)) = assignment.split_once('=') {
                command.env(name, value.trim_matches(['\'', '"']));
            }
        }
        command
            .env("HOME", self.scratch("home"))
            .env_remove("HEROKU_API_KEY");
        command
    }

    /// The `PATH` of a person who has installed the CLI: git runs it to ask for credentials.
    pub fn path_with_heroku(&self) -> std::ffi::OsString {
        let programs = wait::repository().join("target/heroku-cli/node_modules/.bin");
        wait::path_with(&programs)
    }

    /// What `landfall heroku-env` prints.
    fn environment(&self) -> String {
        let mut command = Command::new(wait::program());
        command.arg("heroku-env").arg("--data").arg(self.data());
        shell::run(&mut command, "").ok().stdout
    }

    /// `landfall` with these arguments on this platform's data.
    pub fn landfall(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(wait::program());
        shell::run(command.args(arguments).arg("--data").arg(self.data()), "")
    }

    /// A command of `landfall` on this platform's data, to be given more arguments.
    pub fn landfall_command(&self, command: &str) -> Command {
        let mut landfall = Command::new(wait::program());
        landfall.arg(command).arg("--data").arg(self.data());
        landfall
    }

    /// The process id of the server or router this platform runs.
    pub fn pid_of(&self, part: &str) -> i32 {
        wait::until(&format!("there is a {part}"), || {
            let children = format!("/proc/{0}/task/{0}/children", self.up.id());
            std::fs::read_to_string(children)
                .ok()?
                .split_whitespace()
                .find_map(|pid| {
                    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
                    let is_it = line
                        .split(|byte| *byte == 0)
                        .any(|word| word == part.as_bytes());
                    is_it.then(|| pid.parse().ok())?
                })
        })
    }

    /// `kill -9` of the server or router; `landfall up` starts it anew.
    pub fn kill(&self, part: &str) {
        kill(self.pid_of(part), libc::SIGKILL);
    }

    /// Has a new router take over from the one that runs.
    ///
    /// # Panics
    /// When the platform has no process.
    pub fn upgrade_router(&self) {
        let up = i32::try_from(self.up.id()).expect("a process id");
        kill(up, libc::SIGHUP);
    }

    /// Waits until the API answers, after a [`Platform::kill`].
    pub fn await_api(&self) {
        let api = self.api_addr();
        wait::until("the API answers", || {
            let answer = crate::http::get(api, "localhost", "/regions").ok()?;
            (answer.status == 401 || answer.status == 200).then_some(())
        });
    }

    /// Ends it and takes everything it started off the machine.
    fn stop(&self) {
        let pid = i32::try_from(self.up.id()).expect("a process id");
        kill(pid, libc::SIGTERM);
        // The shared platform cannot be waited for through `&self`: its end is seen from outside.
        wait::until("the platform has ended", || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            (status.is_empty() || status.contains(") Z ")).then_some(())
        });
        let down = self.landfall(&["down"]);
        if down.status != 0 {
            eprintln_of(&format!("landfall down failed: {}", down.stderr));
        }
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = self.said();
            let tail: Vec<&str> = said.lines().rev().take(60).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            eprintln_of(&format!("the platform said at last:\n{}", tail.join("\n")));
        }
        self.stop();
        if let Err(error) = self.up.wait() {
            eprintln_of(&format!("cannot wait for `landfall up`: {error}"));
        }
    }
}

/// The access line around an id in a file of records, which have no ends of lines.
fn around<'a>(text: &'a str, id: &str) -> &'a str {
    let at = text.find(id).unwrap_or(0);
    let start = text.get(..at).and_then(|before| before.rfind("at="));
    let rest = text.get(start.unwrap_or(at)..).unwrap_or_default();
    let end = rest.find("protocol=").unwrap_or(rest.len());
    rest.get(..end).unwrap_or(rest)
}

/// Copies the programs to where the user may run them, and gives the directory to it.
fn give_programs(directory: &Path, user: u32) {
    let program = wait::program();
    for name in ["landfall", "landfall-shim"] {
        let from = program.with_file_name(name);
        std::fs::copy(from, directory.join(name)).expect("the programs can be copied");
    }
    std::os::unix::fs::chown(directory, Some(user), Some(user)).expect("it can be given away");
}

fn spawn(
    directory: &Path,
    ready_file: &Path,
    user: Option<u32>,
    environment: &[(&str, String)],
) -> Child {
    let log = File::create(directory.join("up.log")).expect("the log can be made");
    let mut command = match user {
        None => Command::new(wait::program()),
        Some(user) => {
            let mut command = Command::new(directory.join("landfall"));
            std::os::unix::process::CommandExt::uid(&mut command, user);
            std::os::unix::process::CommandExt::gid(&mut command, user);
            command.env("HOME", directory).env_remove("LANDFALL_SHIM");
            command
        }
    };
    command
        .arg("up")
        .arg("--data")
        .arg(directory.join("data"))
        .args([
            "--listen",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
            "--https",
            "127.0.0.1:0",
        ])
        .arg("--ready-file")
        .arg(ready_file)
        .env("LANDFALL_BOOT_TIMEOUT", BOOT_TIMEOUT_SECONDS)
        .env("LANDFALL_SSH", "127.0.0.1:0")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log);
    command.spawn().expect("`landfall up` can be started")
}

#[expect(clippy::print_stderr, reason = "the test's own words when it fails")]
fn eprintln_of(text: &str) {
    eprintln!("{text}");
}

/// Sends a signal to a process; one that has ended meanwhile gets none.
#[expect(
    unsafe_code,
    reason = "no safe wrapper among our dependencies sends a signal by pid"
)]
pub fn kill(pid: i32, signal: i32) {
    // SAFETY: kill takes two integers and touches no memory of ours.
    unsafe { libc::kill(pid, signal) };
}

#[expect(unsafe_code, reason = "std has no hook for the end of the process")]
fn register_exit(stop: extern "C" fn()) {
    // SAFETY: `stop` is a plain function without captures that may run on any thread.
    unsafe { libc::atexit(stop) };
}
