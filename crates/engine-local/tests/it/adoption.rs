//! Servers go, dynos stay.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use api::ids::DynoId;
use engine::{DynoState, Engine, EngineError};
use engine_local::LocalEngine;
use rustix::process::{Pid, Signal, kill_process};
use shim::files::{self, State};

use crate::support::{Platform, SERVER_DATA, config, shell, sibling, soon, until};

/// Counts for ever, one line each.
const COUNT: &str = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done";

fn state(platform: &Platform, id: DynoId) -> State {
    files::read_json(&platform.dyno_directory(id).join(files::STATE))
        .unwrap()
        .unwrap()
}

fn kill(process: i32) {
    kill_process(Pid::from_raw(process).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_engine_takes_over_what_runs_and_what_has_ended() {
    let mut platform = Platform::open().await;
    let running = platform.start(shell(COUNT)).await;
    platform.line(running, "3").await;
    let ended = platform.start(shell("echo bye; exit 6")).await;
    platform.wait(ended).await;
    let before = platform.engine.inspect(running).await.unwrap();
    platform.reopen().await;
    let after = platform.engine.inspect(running).await.unwrap();
    assert_eq!(
        (before.started_at, before.address),
        (after.started_at, after.address)
    );
    assert_eq!(after.state, DynoState::Running);
    assert_eq!(platform.wait(ended).await.code, Some(6));
    assert_eq!(platform.lines(ended).await, ["bye"]);
    let id = platform.start(shell("exit 0")).await;
    platform.wait(id).await;
    assert_eq!(platform.engine.list().await.unwrap().len(), 3);
    let mut again = shell("exit 0");
    again.id = running;
    let refused = platform.engine.start(again).await;
    assert!(matches!(refused, Err(EngineError::AlreadyExists(_))));
    let exit = soon(platform.engine.stop(running, Duration::from_secs(30)))
        .await
        .unwrap();
    assert_eq!((exit.signal, exit.is_lost), (Some(15), false));
    let lines = platform.lines(running).await;
    let expected: Vec<String> = (1..=lines.len()).map(|number| number.to_string()).collect();
    assert_eq!(lines, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_that_ended_while_nobody_looked_tells_how() {
    let mut platform = Platform::open().await;
    let script = "read line < /cache/go/pipe; echo $line; exit 8";
    let go = platform.directory("go");
    let pipe = go.join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    crate::support::own(&pipe);
    let mut spec = shell(script);
    spec.binds = vec![engine::Bind {
        source: go,
        target: "/cache/go".into(),
        is_writable: true,
    }];
    let id = platform.start(spec).await;
    // In this order a dyno is without a server, as between a crash and a restart.
    let old = std::mem::replace(&mut platform.engine, open_elsewhere().await.0);
    drop(old);
    tokio::task::spawn_blocking(move || fs::write(pipe, "told\n"))
        .await
        .unwrap()
        .unwrap();
    let exit = platform.dyno_directory(id).join(files::EXIT);
    until("it ends", || exit.exists()).await;
    platform.reopen().await;
    assert_eq!(platform.wait(id).await.code, Some(8));
    assert_eq!(platform.lines(id).await, ["told"]);
}

/// An engine that has nothing to do with the platform.
async fn open_elsewhere() -> (std::sync::Arc<LocalEngine>, tempfile::TempDir) {
    let data = tempfile::tempdir().unwrap();
    let engine = LocalEngine::open(config(data.path())).await.unwrap();
    engine.remove_everything().await.unwrap();
    (engine, data)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_whose_shim_is_killed_ends_and_is_lost() {
    let platform = Platform::open().await;
    let id = platform.start(shell("echo ready; exec sleep 1000")).await;
    platform.line(id, "ready").await;
    let state = state(&platform, id);
    kill(state.shim);
    let exit = platform.wait(id).await;
    assert!(exit.is_lost && exit.code.is_none(), "{exit:?}");
    let process = format!("/proc/{}", state.process);
    until("its processes end", || !Path::new(&process).exists()).await;
    assert_eq!(platform.lines(id).await, ["ready"]);
    platform.engine.remove(id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shim_that_was_killed_while_nobody_looked_is_found_out() {
    let mut platform = Platform::open().await;
    let id = platform.start(shell("exec sleep 1000")).await;
    let state = state(&platform, id);
    platform.engine = open_elsewhere().await.0;
    kill(state.shim);
    platform.reopen().await;
    assert!(platform.wait(id).await.is_lost);
    platform.reopen().await;
    assert!(platform.wait(id).await.is_lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_no_dyno_is_swept() {
    let mut platform = Platform::open().await;
    let id = platform.start(shell("exec sleep 1000")).await;
    let groups = state(&platform, id).cgroup.directories;
    let stray: Vec<_> = groups
        .iter()
        .map(|group| sibling(group, id, "stray"))
        .collect();
    for group in &stray {
        fs::create_dir(group).unwrap();
    }
    let half = platform
        .data
        .path()
        .join("run/dynos")
        .join(DynoId::new().to_string());
    fs::create_dir(&half).unwrap();
    platform.reopen().await;
    assert!(stray.iter().all(|group| !group.exists()) && !half.exists());
    assert_eq!(
        platform.engine.inspect(id).await.unwrap().state,
        DynoState::Running
    );
}

/// The name of the test that a child process runs as the server to be killed.
const SERVER: &str = "adoption::as_the_server_to_be_killed";
/// Set for a child that starts one dyno after the other.
const SERVER_IS_BUSY: &str = "ENGINE_LOCAL_TEST_BUSY";

/// A server in a process of its own, for as long as this is kept.
struct Server(Child);

impl Server {
    fn start(platform: &Platform, is_busy: bool) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", SERVER])
            .env(SERVER_DATA, platform.data.path())
            .stdout(Stdio::null());
        if is_busy {
            command.env(SERVER_IS_BUSY, "1");
        }
        Self(command.spawn().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Does nothing unless it is the child process of the tests below.
#[tokio::test(flavor = "multi_thread")]
async fn as_the_server_to_be_killed() {
    let Some(data) = std::env::var_os(SERVER_DATA) else {
        return;
    };
    let engine = LocalEngine::open(config(Path::new(&data))).await.unwrap();
    engine.start(shell(COUNT)).await.unwrap();
    while std::env::var_os(SERVER_IS_BUSY).is_some() {
        let start = || engine.start(shell("exec sleep 1000"));
        let (one, two) = tokio::join!(start(), start());
        one.and(two).unwrap();
    }
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_costs_no_dyno_and_no_line() {
    let mut platform = Platform::open().await;
    platform.engine = open_elsewhere().await.0;
    let server = Server::start(&platform, false);
    let dynos = platform.data.path().join("run/dynos");
    let found = || {
        let entry = fs::read_dir(&dynos).unwrap().next()?.unwrap().path();
        entry.join(files::STATE).exists().then_some(entry)
    };
    until("a dyno runs", || found().is_some()).await;
    drop(server);
    let log = found().unwrap().join(files::LOG);
    let length = || {
        fs::read_dir(&log)
            .unwrap()
            .map(|one| one.unwrap().metadata().unwrap().len())
            .sum::<u64>()
    };
    let then = length();
    until("lines are written meanwhile", || length() > then + 100).await;
    platform.reopen().await;
    let reports = platform.engine.list().await.unwrap();
    assert_eq!((reports.len(), &reports[0].state), (1, &DynoState::Running));
    let id = reports[0].id;
    soon(platform.engine.stop(id, Duration::ZERO))
        .await
        .unwrap();
    let lines = platform.lines(id).await;
    let expected: Vec<String> = (1..=lines.len()).map(|number| number.to_string()).collect();
    assert!(lines == expected && lines.len() > 5, "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_while_it_starts_dynos_leaves_whole_ones() {
    let mut platform = Platform::open().await;
    platform.engine = open_elsewhere().await.0;
    let dynos = platform.data.path().join("run/dynos");
    let started = || {
        let entries = fs::read_dir(&dynos).unwrap();
        entries
            .filter(|entry| entry.as_ref().unwrap().path().join(files::STATE).exists())
            .count()
    };
    for round in 1..=4 {
        let before = started();
        let server = Server::start(&platform, true);
        until("dynos run", || started() >= before + round).await;
        drop(server);
        platform.reopen().await;
        let reports = platform.engine.list().await.unwrap();
        assert!(
            reports
                .iter()
                .all(|report| report.state == DynoState::Running),
            "{reports:?}"
        );
        let directories = fs::read_dir(&dynos).unwrap().count();
        assert_eq!((reports.len(), started()), (directories, directories));
        platform.engine = open_elsewhere().await.0;
    }
}
