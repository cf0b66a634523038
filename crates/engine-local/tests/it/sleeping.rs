//! Dynos that sleep, and who still knows of it.

use std::path::Path;

use engine::{Engine, Freeze, wake_line};
use rustix::process::{Pid, Signal, kill_process};
use shim::files::{self, State};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::support::{Platform, shell, soon, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_engine_knows_what_sleeps_and_who_was_woken() {
    let mut platform = Platform::open().await;
    let id = platform.start(shell("exec sleep 1000")).await;
    assert_eq!(platform.engine.freeze(id, 7).await.unwrap(), Freeze::Frozen);
    platform.reopen().await;
    let sleep = platform.engine.inspect(id).await.unwrap().sleep;
    assert_eq!((sleep.is_frozen, sleep.ticket), (true, 7));
    platform.leave().await;
    wake(&sleep.waker.unwrap(), 7).await;
    platform.reopen().await;
    let sleep = platform.engine.inspect(id).await.unwrap().sleep;
    assert_eq!((sleep.is_frozen, sleep.ticket), (false, 7));
    let again = platform.engine.freeze(id, 7).await.unwrap();
    assert_eq!(again, Freeze::WokenBefore);
}

async fn wake(waker: &Path, ticket: u64) {
    let mut answer = [0; 7];
    soon(async {
        let mut stream = UnixStream::connect(waker).await.unwrap();
        stream
            .write_all(wake_line(ticket).as_bytes())
            .await
            .unwrap();
        stream.read_exact(&mut answer).await.unwrap();
    })
    .await;
    assert_eq!(&answer, b"\"done\"\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waker_is_reached_however_long_the_directory_is() {
    let parent = tempfile::tempdir().unwrap();
    let far = parent.path().join("x".repeat(90));
    std::fs::create_dir(&far).unwrap();
    let data = tempfile::tempdir_in(far).unwrap();
    let platform = Platform::open_in(data).await;
    let id = platform.start(shell("exec sleep 1000")).await;
    assert_eq!(platform.engine.freeze(id, 1).await.unwrap(), Freeze::Frozen);
    let waker = platform.engine.inspect(id).await.unwrap().sleep.waker;
    wake(&waker.unwrap(), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_whose_shim_is_killed_in_its_sleep_is_gone() {
    let platform = Platform::open().await;
    let id = platform.start(shell("exec sleep 1000")).await;
    assert_eq!(platform.engine.freeze(id, 1).await.unwrap(), Freeze::Frozen);
    let state = platform.dyno_directory(id).join(files::STATE);
    let state: State = files::read_json(&state).unwrap().unwrap();
    kill_process(Pid::from_raw(state.shim).unwrap(), Signal::KILL).unwrap();
    assert!(platform.wait(id).await.is_lost);
    let process = format!("/proc/{}", state.process);
    until("its processes end", || !Path::new(&process).exists()).await;
    platform.engine.remove(id).await.unwrap();
}
