//! Dynos that an earlier build started, under this one: two builds, the earlier made from this
//! repository's own history, of the last commit whose shims spoke the wire version before this.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio as Io},
    sync::OnceLock,
    time::Duration,
};

use api::ids::DynoId;
use engine::{DynoState, Engine, EngineError, ExecSpec, Stdio};
use engine_local::LocalEngine;
use shim::{
    VERSION,
    files::{self, State},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Platform, cache, config, shell, soon, until};

/// The program that has dynos started by the earlier build.
const START: &str = include_str!("older/start.rs");
/// Counts until it is told to stop, and then says so.
const COUNT: &str = "trap 'echo stopping; exit 7' TERM; i=0; \
                     while :; do i=$((i+1)); echo $i; sleep 0.05; done";

/// The earlier build: what starts dynos, and its shim.
struct Older {
    start: PathBuf,
    shim: PathBuf,
}

impl Older {
    async fn get() -> Option<&'static Self> {
        static OLDER: OnceLock<Option<Older>> = OnceLock::new();
        let build = || OLDER.get_or_init(Self::build).as_ref();
        tokio::task::spawn_blocking(build).await.unwrap()
    }

    /// Builds it, unless it is there; `None` where history does not reach so far back.
    fn build() -> Option<Self> {
        let is_cut = said(git(&["rev-parse", "--is-shallow-repository"]));
        if is_cut.as_deref() != Some("false") {
            tell("skipped: this checkout has no history, or not all of it");
            return None;
        }
        let line = format!("pub const VERSION: u8 = {VERSION};");
        let mut raised = git(&["log", "-1", "--format=%H", "-S", &line]);
        let raised = said(raised.args(["--", "crates/shim/src/lib.rs"]));
        let raised = raised.expect("a commit has raised the wire version");
        let commit = said(git(&["rev-parse", &format!("{raised}^")])).unwrap();
        let place = repository().join("target/older");
        let tree = place.join(&commit);
        if !tree.exists() {
            unpack(&commit, &tree);
        }
        let example = tree.join("crates/engine-local/examples/start.rs");
        fs::create_dir_all(example.parent().unwrap()).unwrap();
        if fs::read_to_string(&example).is_ok_and(|written| written == START) {
            tell(&format!("the earlier build is {commit}"));
        } else {
            fs::write(&example, START).unwrap();
            tell(&format!("building {commit}"));
        }
        let build = |what: &[&str]| {
            let mut cargo = Command::new(env!("CARGO"));
            cargo
                .args(["build", "--quiet", "--locked"])
                .args(what)
                .current_dir(&tree)
                .env("CARGO_TARGET_DIR", place.join("build"))
                .env("CARGO_PROFILE_DEV_DEBUG", "0")
                .env_remove("RUSTFLAGS");
            assert!(cargo.status().unwrap().success(), "{commit} does not build");
        };
        build(&["--package", "shim", "--bin", "landfall-shim"]);
        build(&["--package", "engine-local", "--example", "start"]);
        Some(Self {
            start: place.join("build/debug/examples/start"),
            shim: place.join("build/debug/landfall-shim"),
        })
    }

    /// Starts dynos, and is gone.
    fn start(&self, data: &Path, scripts: &[&str]) -> Vec<DynoId> {
        let mut command = Command::new(&self.start);
        command.arg(data).arg(cache()).arg(&self.shim).args(scripts);
        let ids = said(&mut command).expect("the earlier build starts dynos");
        ids.lines().map(|id| id.parse().unwrap()).collect()
    }
}

fn unpack(commit: &str, tree: &Path) {
    let draft = tree.with_extension("draft");
    drop(fs::remove_dir_all(&draft));
    fs::create_dir_all(&draft).unwrap();
    let mut archive = git(&["archive", "--format=tar", commit]);
    let mut archive = archive.stdout(Io::piped()).spawn().unwrap();
    let mut tar = Command::new("tar");
    tar.arg("--extract").arg("--directory").arg(&draft);
    let unpacked = tar.stdin(archive.stdout.take().unwrap()).status();
    assert!(archive.wait().unwrap().success() && unpacked.unwrap().success());
    fs::rename(draft, tree).unwrap();
}

fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap().to_owned()
}

fn git(arguments: &[&str]) -> Command {
    let mut git = Command::new("git");
    git.current_dir(repository()).args(arguments);
    git
}

/// What a program printed, if it ended well and printed anything.
fn said(mut command: impl std::borrow::BorrowMut<Command>) -> Option<String> {
    let output = command.borrow_mut().output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

#[expect(clippy::print_stderr, reason = "says what was not tested")]
fn tell(text: &str) {
    eprintln!("older: {text}");
}

fn is_unsupported<T>(outcome: &Result<T, EngineError>) -> bool {
    matches!(outcome, Err(EngineError::Unsupported { .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn dynos_of_an_earlier_build_are_driven_by_this_one() {
    let Some(older) = Older::get().await else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let ids = older.start(
        data.path(),
        &[
            COUNT,
            "echo short; exit 6",
            "|while read a; do echo got $a; done",
        ],
    );
    let [counting, short, piped] = ids[..] else {
        panic!("three were started: {ids:?}");
    };
    let platform = Platform::open_in(data).await;
    let state = platform.dyno_directory(counting).join(files::STATE);
    let state: State = files::read_json(&state).unwrap().unwrap();
    assert_eq!(state.version, VERSION - 1);

    let report = platform.engine.inspect(counting).await.unwrap();
    assert_eq!(report.state, DynoState::Running);
    assert_eq!(report.sleep.waker, None);
    assert_eq!(platform.wait(short).await.code, Some(6));
    assert_eq!(platform.lines(short).await, ["short"]);

    // Lines from before, and lines that it hears of from now on.
    platform.line(counting, "1").await;
    let seen = soon(platform.engine.read_log(counting, 0)).await.unwrap();
    let last = seen.records.last().unwrap().sequence;
    let news = soon(platform.engine.read_log(counting, last))
        .await
        .unwrap();
    assert_eq!(news.records[0].sequence, last + 1);

    // What it never heard of is refused, and does not hang.
    let frozen = soon(platform.engine.freeze(counting, 1)).await;
    assert!(is_unsupported(&frozen));
    let exec = ExecSpec {
        command: vec!["true".to_owned()],
        env: std::collections::BTreeMap::new(),
        stdio: Stdio::Pipes,
    };
    let ran = soon(platform.engine.exec(counting, exec)).await;
    assert!(is_unsupported(&ran));

    let mut stream = soon(platform.engine.attach(piped)).await.unwrap();
    soon(stream.write_all(b"this\n")).await.unwrap();
    soon(stream.shutdown()).await.unwrap();
    let mut heard = String::new();
    soon(stream.read_to_string(&mut heard)).await.unwrap();
    assert_eq!(heard, "got this\n");
    assert_eq!(platform.wait(piped).await.code, Some(0));

    // Beside them it starts its own.
    let own = platform.start(shell("exit 0")).await;
    assert_eq!(platform.wait(own).await.code, Some(0));

    let exit = soon(platform.engine.stop(counting, Duration::from_secs(30))).await;
    assert_eq!(exit.unwrap().code, Some(7));
    let lines = platform.lines(counting).await;
    // What its shell says of a command that was ended too may come after.
    assert!(lines.contains(&"stopping".to_owned()), "{lines:?}");
    for id in [counting, short, piped, own] {
        soon(platform.engine.remove(id)).await.unwrap();
        let directory = platform.dyno_directory(id);
        until("its directory is gone", || !directory.exists()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_shim_refuses_what_it_cannot_read() {
    let Some(older) = Older::get().await else {
        return;
    };
    let platform = Platform::open().await;
    let mut config = config(platform.data.path());
    config.shim.clone_from(&older.shim);
    let engine = LocalEngine::open(config).await.unwrap();
    let refused = soon(engine.start(shell("exit 0"))).await;
    assert!(
        matches!(refused, Err(EngineError::Start { .. })),
        "{refused:?}"
    );
}
