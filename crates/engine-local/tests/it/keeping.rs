//! What a dyno's keeper does by itself: starting again, counting, telling how it ended.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use api::ids::DynoId;
use engine::{Bind, DynoSpec, DynoState, Engine, LogRecord, Stdio};
use shim::{
    control::Request,
    files::{self, Exit, State},
};

use crate::support::{MEMORY_BYTES, Platform, shell, soon, until};

/// A dyno that its keeper starts again, with a directory to talk to it through.
fn unattended(script: &str, go: &Path) -> DynoSpec {
    let mut spec = shell(script);
    spec.is_restarted_unattended = true;
    spec.binds = vec![Bind {
        source: go.to_owned(),
        target: "/cache/go".into(),
        is_writable: true,
    }];
    spec
}

/// Waits for a word, says what it finds of an earlier run, and crashes.
const CRASH: &str = "while [ ! -e /cache/go/now ]; do sleep 0.05; done; \
                     echo up $(ls -d /app/old /tmp/old 2>/dev/null | wc -l); \
                     touch /app/old /tmp/old; exit 7";

fn restarts(platform: &Platform, id: DynoId) -> usize {
    files::read_restarts(&platform.dyno_directory(id))
        .unwrap()
        .len()
}

/// Asks its keeper past the engine, and waits for the answer.
fn ask(socket: PathBuf, request: &Request) {
    let mut stream = UnixStream::connect(socket).unwrap();
    let mut line = serde_json::to_vec(request).unwrap();
    line.push(b'\n');
    stream.write_all(&line).unwrap();
    BufReader::new(stream)
        .read_line(&mut String::new())
        .unwrap();
}

async fn records(platform: &Platform, id: DynoId) -> Vec<LogRecord> {
    let mut records: Vec<LogRecord> = Vec::new();
    loop {
        let after = records.last().map_or(0, |last| last.sequence);
        let batch = soon(platform.engine.read_log(id, after)).await.unwrap();
        records.extend(batch.records);
        if batch.ended {
            return records;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_that_nobody_watches_is_started_again_and_its_crashes_are_told() {
    let mut platform = Platform::open().await;
    let go = platform.directory("go");
    let id = platform.start(unattended(CRASH, &go)).await;
    platform.leave().await;
    fs::write(go.join("now"), "").unwrap();
    until("it is started twice", || restarts(&platform, id) == 2).await;
    let state = platform.dyno_directory(id).join(files::STATE);
    let state: State = files::read_json(&state).unwrap().unwrap();
    assert_eq!(state.restarts, 2);
    // It crashes once more; who comes in the pause after that is told so.
    platform.reopen().await;
    let exit = platform.wait(id).await;
    assert_eq!((exit.code, exit.is_lost), (Some(7), false));
    let report = platform.engine.inspect(id).await.unwrap();
    let numbers: Vec<u64> = report.restarts.iter().map(|one| one.number).collect();
    assert!(
        numbers.starts_with(&[1, 2]) && numbers.len() < 5,
        "{numbers:?}"
    );
    for restart in &report.restarts {
        assert_eq!(restart.exit.code, Some(7));
        assert!(restart.started_at > restart.exit.at && restart.exit.at < exit.at);
    }
    let records = records(&platform, id).await;
    let texts: Vec<&str> = records.iter().map(|record| record.text.as_str()).collect();
    assert_eq!(
        texts,
        vec!["up 0"; numbers.len() + 1],
        "always a fresh dyno"
    );
    let sequences: Vec<u64> = records.iter().map(|record| record.sequence).collect();
    assert_eq!(sequences, (1..=texts.len() as u64).collect::<Vec<_>>());
    platform.engine.remove(id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_that_came_back_is_taken_over_like_any_other() {
    let mut platform = Platform::open().await;
    let go = platform.directory("go");
    let script = "if [ -e /cache/go/crashed ]; then echo back; exec sleep 1000; fi; \
                  while [ ! -e /cache/go/now ]; do sleep 0.05; done; \
                  touch /cache/go/crashed; exit 0";
    let id = platform.start(unattended(script, &go)).await;
    let before = platform.engine.inspect(id).await.unwrap();
    platform.leave().await;
    fs::write(go.join("now"), "").unwrap();
    until("it is started again", || restarts(&platform, id) == 1).await;
    platform.reopen().await;
    platform.line(id, "back").await;
    let after = platform.engine.inspect(id).await.unwrap();
    assert_eq!(after.state, DynoState::Running);
    assert_eq!(after.address, before.address);
    assert_eq!(after.restarts.len(), 1);
    assert!(
        after.restarts[0].exit.is_success(),
        "a good end is an end, too"
    );
    assert_eq!(after.restarts[0].started_at, after.started_at);
    assert!(after.started_at > before.started_at && !after.start_trace.is_empty());
    let memory = platform.engine.inspect(id).await.unwrap().memory_bytes;
    assert!(memory > 0, "its cgroup is the same");
    assert_eq!(
        platform.engine.freeze(id, 1).await.unwrap(),
        engine::Freeze::Frozen
    );
    let exit = soon(platform.engine.stop(id, Duration::from_secs(30)))
        .await
        .unwrap();
    assert_eq!(exit.signal, Some(15));
    let report = platform.engine.inspect(id).await.unwrap();
    assert_eq!(report.restarts.len(), 1, "it is still known");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_that_somebody_watches_is_theirs_to_mend() {
    let platform = Platform::open().await;
    let go = platform.directory("go");
    fs::write(go.join("now"), "").unwrap();
    let id = platform.start(unattended(CRASH, &go)).await;
    assert_eq!(platform.wait(id).await.code, Some(7));
    let report = platform.engine.inspect(id).await.unwrap();
    assert!(report.restarts.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_pause_ends_it_at_once() {
    let mut platform = Platform::open().await;
    let go = platform.directory("go");
    let id = platform.start(unattended(CRASH, &go)).await;
    let socket = platform
        .engine
        .inspect(id)
        .await
        .unwrap()
        .sleep
        .waker
        .unwrap();
    platform.leave().await;
    fs::write(go.join("now"), "").unwrap();
    // The second pause is two seconds long: time enough to be in it.
    until("it is started again", || restarts(&platform, id) == 1).await;
    let process = format!("/proc/{}", {
        let state = platform.dyno_directory(id).join(files::STATE);
        files::read_json::<State>(&state).unwrap().unwrap().process
    });
    until("it crashes again", || !Path::new(&process).exists()).await;
    ask(socket, &Request::Stop { grace_ms: 30_000 });
    let exit = platform.dyno_directory(id).join(files::EXIT);
    until("it has ended", || exit.exists()).await;
    let exit: Exit = files::read_json(&exit).unwrap().unwrap();
    assert_eq!((exit.code, exit.was_forced), (Some(7), false));
    assert_eq!(restarts(&platform, id), 1);
    platform.reopen().await;
    assert_eq!(platform.wait(id).await.code, Some(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn lack_of_memory_ends_the_whole_dyno() {
    let platform = Platform::open().await;
    // The kernel's choice is a child, whose end the program would not mind.
    let script = format!(
        "python3 -c 'x = b\"x\" * {}'; while :; do sleep 1; done",
        MEMORY_BYTES * 3
    );
    let (exit, lines) = platform.run(&script).await;
    assert_eq!(
        (exit.signal, exit.is_out_of_memory),
        (Some(9), true),
        "{lines:?}"
    );
    assert!(!exit.was_forced && !exit.is_over_disk);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_wrote_too_much_is_killed_and_it_shows() {
    let platform = Platform::open().await;
    let id = platform
        .start(shell("trap '' TERM; echo ready; while :; do sleep 1; done"))
        .await;
    platform.line(id, "ready").await;
    let report = platform.engine.inspect(id).await.unwrap();
    ask(report.sleep.waker.unwrap(), &Request::EndOverDisk);
    let exit = platform.wait(id).await;
    assert_eq!(
        (exit.signal, exit.is_over_disk, exit.was_forced),
        (Some(9), true, false)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_dropped_and_counted() {
    const LINES: u64 = 300_000;
    let platform = Platform::open().await;
    let mut spec = shell(&format!("seq {LINES}; sleep 1; echo end"));
    spec.limits.log_lines_per_second = 100;
    let id = platform.start(spec).await;
    until_report(&platform, id, |report| report.dropped_lines > 0).await;
    platform.wait(id).await;
    let kept = records(&platform, id).await;
    let report = platform.engine.inspect(id).await.unwrap();
    assert_eq!(kept.len() as u64 + report.dropped_lines, LINES + 1);
    assert!(kept.len() >= 1_000 && report.dropped_lines > LINES / 2);
    let last = kept.last().unwrap();
    assert_eq!((last.text.as_str(), last.sequence), ("end", LINES + 1));
    assert!(
        kept[..1_000]
            .iter()
            .all(|one| one.text == one.sequence.to_string())
    );
}

async fn until_report(
    platform: &Platform,
    id: DynoId,
    holds: impl Fn(&engine::DynoReport) -> bool,
) {
    soon(async {
        while !holds(&platform.engine.inspect(id).await.unwrap()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_that_lives_on_without_its_client_shows_it() {
    let platform = Platform::open().await;
    let mut spec = shell("trap '' HUP; echo ready; while :; do sleep 1; done");
    spec.stdio = Stdio::Pipes;
    let id = platform.start(spec).await;
    let mut stream = platform.engine.attach(id).await.unwrap();
    let mut line = [0; 6];
    soon(tokio::io::AsyncReadExt::read_exact(&mut stream, &mut line))
        .await
        .unwrap();
    assert!(!platform.engine.inspect(id).await.unwrap().is_detached);
    drop(stream);
    until_report(&platform, id, |report| report.is_detached).await;
    soon(platform.engine.stop(id, Duration::ZERO))
        .await
        .unwrap();
    assert!(!platform.engine.inspect(id).await.unwrap().is_detached);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_is_traced_from_the_network_to_the_command() {
    let mut platform = Platform::open().await;
    let id = platform.start(shell("exec sleep 1000")).await;
    let trace = platform.engine.inspect(id).await.unwrap().start_trace;
    let names: Vec<&str> = trace.iter().map(|phase| phase.name.as_str()).collect();
    assert!(
        names.starts_with(&["take a network", "make its directory", "run the shim"])
            && names.contains(&"mount the stack")
            && names.ends_with(&["install the system call filter", "run its command"]),
        "{trace:?}"
    );
    platform.reopen().await;
    let after = platform.engine.inspect(id).await.unwrap().start_trace;
    assert_eq!(
        after.len(),
        trace.len() - 1,
        "only the shim's own time is forgotten"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_grows_far_beyond_the_disk_limit() {
    let platform = Platform::open().await;
    let mut spec = shell("ulimit -f");
    spec.limits.disk_bytes = Some(1 << 30);
    let (_, lines) = platform.run_spec(spec).await;
    let blocks: u64 = lines[0].parse().unwrap();
    assert_eq!(blocks * 512, 2 << 30);
}
