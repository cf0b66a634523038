//! Log lines.

use engine::{Engine, LogStream};

use crate::support::{Platform, shell, soon};

#[tokio::test(flavor = "multi_thread")]
async fn many_lines_all_arrive_in_order() {
    const LINES: usize = 30_000;
    let platform = Platform::open().await;
    let mut spec = shell(&format!("seq 1 {LINES}"));
    spec.limits.log_lines_per_second = u32::MAX;
    let (exit, lines) = platform.run_spec(spec).await;
    assert!(exit.is_success());
    let expected: Vec<String> = (1..=LINES).map(|number| number.to_string()).collect();
    assert!(lines == expected, "{} of {LINES} lines", lines.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn old_lines_go_first_when_nobody_reads() {
    let platform = Platform::open().await;
    let line = "x".repeat(99);
    let script = format!("yes {line} | head -n 150000; echo last");
    let mut spec = shell(&script);
    spec.limits.log_lines_per_second = u32::MAX;
    let id = platform.start(spec).await;
    assert!(platform.wait(id).await.is_success());
    let batch = soon(platform.engine.read_log(id, 0)).await.unwrap();
    assert!(batch.records[0].sequence > 1, "15 MB were kept whole");
    let lines = platform.lines(id).await;
    assert_eq!(lines.last().unwrap(), "last");
    let log = platform.dyno_directory(id).join("log");
    let kept: u64 = std::fs::read_dir(log)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(kept < 10 << 20, "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_told_apart_and_long_lines_cut() {
    let platform = Platform::open().await;
    let script =
        "echo out; echo err >&2; head -c 25000 /dev/zero | tr '\\0' z; printf '\\n\\377end'";
    let id = platform.start(shell(script)).await;
    platform.wait(id).await;
    let records = soon(platform.engine.read_log(id, 0)).await.unwrap().records;
    let err = records.iter().find(|record| record.text == "err").unwrap();
    assert_eq!(err.stream, LogStream::Stderr);
    let out: Vec<&str> = records
        .iter()
        .filter(|record| record.stream == LogStream::Stdout)
        .map(|record| record.text.as_str())
        .collect();
    assert_eq!(out[0], "out");
    assert_eq!(
        out[1..4].iter().map(|text| text.len()).collect::<Vec<_>>(),
        [10_000, 10_000, 5000]
    );
    assert_eq!(out[4], "\u{fffd}end");
}
