//! Starting, ending, and what a dyno finds inside.

use std::{collections::BTreeMap, time::Duration};

use engine::{DynoState, Engine, EngineError, Stdio};

use crate::support::{Platform, shell, soon};

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_finds_itself_at_home() {
    let platform = Platform::open().await;
    let script = "echo $HOME $PORT $DYNO $MINE; pwd; id -u; id -un; hostname; \
                  grep -c web.1 /etc/hosts; cat /etc/hostname /proc/self/personality; \
                  echo x > /app/file && cat /app/file; echo y > /tmp/file && cat /tmp/file; \
                  echo z > /dev/null && echo z > /dev/stderr; ls /proc/self/fd | wc -l";
    let mut spec = shell(script);
    spec.port = Some(5000);
    spec.env.insert("MINE".to_owned(), "a b".to_owned());
    let (exit, lines) = platform.run_spec(spec).await;
    assert!(exit.is_success(), "{exit:?} {lines:?}");
    let mut lines = lines.iter().map(String::as_str).collect::<Vec<_>>();
    lines.sort_unstable();
    let mut expected = vec![
        "/app 5000 web.1 a b",
        "/app",
        "1000",
        "dyno",
        "web.1",
        "1",
        "web.1",
        // Its memory is laid out at random.
        "00000000",
        "x",
        "y",
        "z",
    ];
    // `ls` has the three standard ones and the directory it reads.
    expected.push("4");
    expected.sort_unstable();
    assert_eq!(lines, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_is_confined() {
    let platform = Platform::open().await;
    let script = "grep -E '^(CapEff|CapPrm|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | \
                  tr -s '\\t' ' '; for try in 'touch /usr/x' 'touch /etc/x' 'mount -t tmpfs x /tmp' \
                  'unshare -U true' 'cat /proc/kcore' 'ls /proc/1/root/' 'kill -9 1' \
                  'echo 1 > /proc/sys/kernel/sysrq'; \
                  do sh -c \"$try\" > /dev/null 2>&1 && echo open: $try; done; \
                  ls /proc | grep -c '^[0-9]'";
    let (_, lines) = platform.run(script).await;
    let zero = "0000000000000000";
    assert_eq!(
        lines[..5],
        [
            format!("CapPrm: {zero}"),
            format!("CapEff: {zero}"),
            format!("CapBnd: {zero}"),
            "NoNewPrivs: 1".to_owned(),
            "Seccomp: 2".to_owned()
        ]
    );
    assert_eq!(lines[5..lines.len() - 1], [""; 0]);
    assert!(
        lines.last().unwrap().parse::<u32>().unwrap() < 6,
        "{lines:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_not_there_is_a_clear_error() {
    let platform = Platform::open().await;
    let mut spec = shell("");
    spec.command = vec!["no-such-program".to_owned()];
    let id = spec.id;
    match soon(platform.engine.start(spec)).await {
        Err(EngineError::Start { dyno, step, source }) => {
            assert_eq!((dyno, step), (id, "run its command"));
            assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
        }
        other => panic!("{other:?}"),
    }
    assert!(!platform.dyno_directory(id).exists());
    assert!(platform.engine.list().await.unwrap().is_empty());
    // Its id is free again.
    let mut spec = shell("exit 0");
    spec.id = id;
    assert!(platform.run_spec(spec).await.0.is_success());
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_reaches_every_process() {
    let platform = Platform::open().await;
    let child = "trap 'echo child told; exit' TERM; echo child ready; while :; do sleep 0.1; done";
    let script = format!(
        "sh -c \"{child}\" & trap 'echo told; wait; exit 7' TERM; \
         echo ready; while :; do sleep 0.1; done"
    );
    let id = platform.start(shell(&script)).await;
    platform.line(id, "ready").await;
    platform.line(id, "child ready").await;
    let exit = soon(platform.engine.stop(id, Duration::from_mins(1)))
        .await
        .unwrap();
    assert_eq!(exit.code, Some(7), "{exit:?}");
    let lines = platform.lines(id).await;
    assert!(lines.iter().any(|line| line == "told"), "{lines:?}");
    assert!(lines.iter().any(|line| line == "child told"), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_process_takes_the_others_with_it() {
    let platform = Platform::open().await;
    let (exit, lines) = platform.run("setsid sleep 1000 & echo done; exit 5").await;
    assert_eq!((exit.code, lines), (Some(5), vec!["done".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_program_shows_its_signal() {
    let platform = Platform::open().await;
    let (exit, _) = platform.run("kill -11 $$").await;
    assert_eq!(
        (exit.code, exit.signal, exit.is_out_of_memory),
        (None, Some(11), false)
    );
    assert_eq!(exit.status(), 139);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_say_what_the_spec_said() {
    let platform = Platform::open().await;
    let mut spec = shell("echo ready; exec sleep 1000");
    spec.labels = BTreeMap::from([("release".to_owned(), "v3".to_owned())]);
    spec.port = Some(4321);
    let id = platform.start(spec.clone()).await;
    platform.line(id, "ready").await;
    let report = platform.engine.inspect(id).await.unwrap();
    assert_eq!(
        (report.app, &report.labels, report.port),
        (spec.app, &spec.labels, spec.port)
    );
    assert_eq!(report.state, DynoState::Running);
    assert!(
        report.address.is_some() && report.memory_bytes > 0,
        "{report:?}"
    );
    soon(platform.engine.stop(id, Duration::ZERO))
        .await
        .unwrap();
    platform.engine.remove(id).await.unwrap();
    assert!(!platform.dyno_directory(id).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_platforms_live_side_by_side() {
    let (one, two) = tokio::join!(Platform::open(), Platform::open());
    let spec = shell("echo $DYNO");
    let (first, second) = tokio::join!(one.run_spec(spec.clone()), two.run_spec(spec));
    assert_eq!(first.1, second.1);
    assert_eq!(one.engine.list().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_cannot_be_logged() {
    let platform = Platform::open().await;
    let id = platform.start(shell("exec sleep 1000")).await;
    assert!(matches!(
        platform.engine.attach(id).await,
        Err(EngineError::NotAttachable(_))
    ));
    let mut spec = shell("tty");
    spec.stdio = Stdio::Pipes;
    let (exit, lines) = platform.run_spec(spec).await;
    assert_eq!((exit.code, lines.len()), (Some(1), 0));
}
