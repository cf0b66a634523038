//! Intake: exactly once, bounded, and whole after a kill.

use std::fs;

use api::ids::DynoId;
use logs::{LogLine, LogSource};

use crate::{Bench, line, numbered};

#[tokio::test]
async fn lines_survive_a_restart_in_order() {
    let bench = Bench::new();
    let logs = bench.open();
    logs.append(bench.app, vec![line("one"), line("two")])
        .await
        .unwrap();
    logs.append(bench.app, vec![line("three")]).await.unwrap();
    drop(logs);
    let logs = bench.open();
    assert_eq!(bench.texts(&logs, 100).await, ["one", "two", "three"]);
    assert_eq!(bench.texts(&logs, 2).await, ["two", "three"]);
    assert!(bench.texts(&logs, 0).await.is_empty());
}

#[tokio::test]
async fn a_batch_appended_twice_is_kept_once() {
    let bench = Bench::new();
    let dyno = DynoId::new();
    let logs = bench.open();
    logs.append(bench.app, numbered(dyno, 1, 4)).await.unwrap();
    logs.append(bench.app, numbered(dyno, 1, 6)).await.unwrap();
    drop(logs);
    let logs = bench.open();
    assert_eq!(logs.cursor(bench.app, dyno).await.unwrap(), 5);
    assert_eq!(logs.cursor(bench.app, DynoId::new()).await.unwrap(), 0);
    logs.append(bench.app, numbered(dyno, 4, 7)).await.unwrap();
    let expected: Vec<_> = (1..7).map(|n| format!("line {n}")).collect();
    assert_eq!(bench.texts(&logs, 100).await, expected);
}

#[tokio::test]
async fn a_record_torn_at_any_byte_is_cut_and_comes_again() {
    let bench = Bench::new();
    let dyno = DynoId::new();
    let logs = bench.open();
    logs.append(bench.app, numbered(dyno, 1, 3)).await.unwrap();
    let [segment] = bench.segments().try_into().unwrap();
    let before = fs::metadata(&segment).unwrap().len();
    logs.append(bench.app, numbered(dyno, 3, 4)).await.unwrap();
    drop(logs);
    let whole = fs::read(&segment).unwrap();
    for end in usize::try_from(before).unwrap()..whole.len() {
        fs::write(&segment, &whole[..end]).unwrap();
        let logs = bench.open();
        assert_eq!(
            logs.cursor(bench.app, dyno).await.unwrap(),
            2,
            "cut at {end}"
        );
        assert_eq!(bench.texts(&logs, 100).await, ["line 1", "line 2"]);
        logs.append(bench.app, numbered(dyno, 1, 5)).await.unwrap();
        assert_eq!(
            bench.texts(&logs, 100).await,
            ["line 1", "line 2", "line 3", "line 4"]
        );
    }
}

#[tokio::test]
async fn a_segment_torn_in_its_first_record_is_given_up() {
    let bench = Bench::new();
    let dyno = DynoId::new();
    let logs = bench.open();
    logs.append(bench.app, numbered(dyno, 1, 100))
        .await
        .unwrap();
    drop(logs);
    assert_eq!(bench.segments().len(), 2);
    let last = bench.segments().pop().unwrap();
    fs::write(&last, b"torn").unwrap();
    let logs = bench.open();
    let kept = logs.cursor(bench.app, dyno).await.unwrap();
    assert!((1..99).contains(&kept), "{kept}");
    logs.append(bench.app, numbered(dyno, 1, 101))
        .await
        .unwrap();
    let expected: Vec<_> = (1..101).map(|n| format!("line {n}")).collect();
    assert_eq!(bench.texts(&logs, 200).await, expected);
}

#[tokio::test]
async fn an_apps_log_is_bounded_and_its_cursors_are_not_lost() {
    let bench = Bench::new();
    let quiet = DynoId::new();
    let busy = DynoId::new();
    let logs = bench.open();
    logs.append(bench.app, numbered(quiet, 1, 10))
        .await
        .unwrap();
    for n in 0..100 {
        logs.append(bench.app, numbered(busy, 1 + n * 20, 1 + (n + 1) * 20))
            .await
            .unwrap();
    }
    let held: u64 = bench
        .segments()
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .sum();
    assert!(
        held <= bench.max_bytes + bench.segment_bytes,
        "{held} bytes"
    );
    drop(logs);
    let logs = bench.open();
    assert_eq!(logs.cursor(bench.app, quiet).await.unwrap(), 9);
    assert_eq!(logs.cursor(bench.app, busy).await.unwrap(), 2000);
    let kept = bench.texts(&logs, 1500).await;
    let first = 2001 - kept.len();
    let expected: Vec<_> = (first..2001).map(|n| format!("line {n}")).collect();
    assert_eq!(kept, expected, "the newest lines, without a gap");
}

#[tokio::test]
async fn one_batch_larger_than_all_segments_keeps_its_end() {
    let bench = Bench::new();
    let logs = bench.open();
    let lines = (0..2000).map(|n| line(format!("{n:0100}"))).collect();
    logs.append(bench.app, lines).await.unwrap();
    let kept = bench.texts(&logs, 1500).await;
    assert_eq!(kept.last().unwrap(), &format!("{:0100}", 1999));
    assert!(kept.len() > 50, "{} kept", kept.len());
}

#[tokio::test]
async fn a_removed_app_has_no_log() {
    let bench = Bench::new();
    let logs = bench.open();
    logs.append(bench.app, vec![line("x")]).await.unwrap();
    logs.remove(bench.app).await.unwrap();
    logs.remove(bench.app).await.unwrap();
    assert!(bench.texts(&logs, 10).await.is_empty());
    assert!(!bench.dir.path().join(bench.app.to_string()).exists());
}

#[tokio::test]
async fn asking_about_an_unknown_app_leaves_nothing_behind() {
    let bench = Bench::new();
    let logs = bench.open();
    assert!(bench.texts(&logs, 10).await.is_empty());
    assert_eq!(logs.cursor(bench.app, DynoId::new()).await.unwrap(), 0);
    assert!(!bench.dir.path().join(bench.app.to_string()).exists());
}

#[tokio::test]
async fn a_disk_that_refuses_is_an_error_and_then_forgotten() {
    let bench = Bench::new();
    let logs = bench.open();
    let place = bench.dir.path().join(bench.app.to_string());
    fs::write(&place, "in the way").unwrap();
    assert!(logs.append(bench.app, vec![line("lost")]).await.is_err());
    fs::remove_file(&place).unwrap();
    logs.append(bench.app, vec![line("kept")]).await.unwrap();
    assert_eq!(bench.texts(&logs, 10).await, ["kept"]);
}

#[tokio::test]
async fn long_names_and_texts_are_cut_at_a_character() {
    let bench = Bench::new();
    let logs = bench.open();
    let long = LogLine {
        source: LogSource::Heroku,
        dyno: "é".repeat(200),
        ..line("ü".repeat(200_000))
    };
    logs.append(bench.app, vec![long, line("next")])
        .await
        .unwrap();
    let kept = bench.texts(&logs, 10).await;
    assert_eq!((kept[0].len(), kept[1].as_str()), (256 * 1024, "next"));
}
