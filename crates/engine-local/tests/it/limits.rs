//! What a dyno may use, and what happens when it wants more.

use std::time::Duration;

use engine::{Engine, Probe};

use crate::support::{MEMORY_BYTES, Platform, shell, soon};

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_that_wants_too_much_memory_is_killed_and_it_shows() {
    let platform = Platform::open().await;
    // Up to twice the quota is allowed.
    let within = MEMORY_BYTES + (MEMORY_BYTES >> 1);
    let eat = |bytes: u64| format!("exec python3 -c 'x = b\"x\" * {bytes}; print(len(x))'");
    let (exit, lines) = platform.run(&eat(within)).await;
    assert!(exit.is_success(), "{exit:?} {lines:?}");
    let (exit, lines) = platform.run(&eat(MEMORY_BYTES * 3)).await;
    assert_eq!(
        (exit.signal, exit.is_out_of_memory),
        (Some(9), true),
        "{lines:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_stays_small() {
    let platform = Platform::open().await;
    let mut spec = shell(
        "for i in $(seq 200); do sleep 100 & done 2>/dev/null; \
         echo; ls -d /proc/[0-9]* | wc -l",
    );
    spec.limits.pids = 20;
    let (_, lines) = platform.run_spec(spec).await;
    let processes = lines
        .last()
        .and_then(|line| line.trim().parse::<u32>().ok());
    assert!(processes.is_none_or(|count| count <= 22), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_sees_its_own_limits() {
    let platform = Platform::open().await;
    let script = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max \
                  2>/dev/null; ulimit -n; ulimit -c; cut -d: -f3 /proc/self/cgroup | sort -u | wc -l";
    let (_, lines) = platform.run(script).await;
    assert_eq!(
        lines[..3],
        [
            (MEMORY_BYTES * 2).to_string(),
            "10000".to_owned(),
            "0".to_owned()
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_serves_and_where_is_seen() {
    let platform = Platform::open().await;
    let serve = "echo begun; exec python3 -m http.server --bind 127.0.0.1 8000";
    let mut spec = shell(serve);
    spec.port = Some(5000);
    let id = platform.start(spec).await;
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    while platform.engine.listening(id).await.unwrap().is_empty() {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        platform.engine.listening(id).await.unwrap(),
        ["127.0.0.1:8000"]
    );
    let probe = soon(platform.engine.probe(
        id,
        &engine::Question::default(),
        Duration::from_secs(5),
    ))
    .await
    .unwrap();
    assert_eq!(probe, Probe::Refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_filler_is_ended() {
    let platform = Platform::open().await;
    // With and without a name: what was deleted takes space for as long as it is held open.
    let fillers = [
        "while :; do head -c 8M /dev/zero >> file.$((n += 1)); done",
        "exec 3> file; rm file; while :; do head -c 8M /dev/zero >&3; done",
    ];
    for filler in fillers {
        let mut spec = shell(filler);
        spec.limits.disk_bytes = Some(64 << 20);
        let id = platform.start(spec).await;
        let exit = platform.wait(id).await;
        let report = platform.engine.inspect(id).await.unwrap();
        assert!(exit.is_over_disk, "{filler}: {exit:?}");
        assert!(report.disk_bytes > 64 << 20, "{filler}: {report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dyno_has_on_disk_is_told() {
    let platform = Platform::open().await;
    let mut spec = shell("head -c 40M /dev/zero > file; echo written; exec sleep 1000");
    spec.limits.disk_bytes = Some(64 << 20);
    let id = platform.start(spec).await;
    platform.line(id, "written").await;
    let deadline = tokio::time::Instant::now() + Duration::from_mins(3);
    while platform.engine.inspect(id).await.unwrap().disk_bytes < 40 << 20 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
