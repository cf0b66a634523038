//! Commands and connections inside a running dyno.

use std::{collections::BTreeMap, time::Duration};

use api::ids::DynoId;
use engine::{AttachStream, Engine, EngineError, ExecSpec, Stdio};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{MEMORY_BYTES, Platform, shell, soon, until};

const TERMINAL: Stdio = Stdio::Terminal {
    columns: 91,
    lines: 37,
};
/// What a process may do and whose it is.
const STANDING: &str = "grep -E '^(Uid|Gid|Groups|CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|\
                        Seccomp):' /proc/self/status; cat /proc/self/limits /proc/self/cgroup; \
                        for n in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$n; \
                        done; pwd; hostname; umask; cat /proc/self/oom_score_adj; \
                        ls /proc/self/fd | tr '\\n' ' '";

fn inside(script: &str, stdio: Stdio) -> ExecSpec {
    ExecSpec {
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        env: BTreeMap::new(),
        stdio,
    }
}

async fn enter(platform: &Platform, id: DynoId, spec: ExecSpec) -> Box<dyn AttachStream> {
    soon(platform.engine.exec(id, spec)).await.unwrap()
}

/// Everything a script prints.
async fn run(platform: &Platform, id: DynoId, script: &str) -> String {
    let mut stream = enter(platform, id, inside(script, Stdio::Pipes)).await;
    let mut text = String::new();
    soon(stream.read_to_string(&mut text)).await.unwrap();
    text
}

async fn started(platform: &Platform, script: &str) -> DynoId {
    let script = format!("{script}; echo ready; exec sleep 1000");
    let id = platform.start(shell(&script)).await;
    platform.line(id, "ready").await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_stands_where_the_dynos_own_program_stands() {
    let platform = Platform::open().await;
    let id = started(&platform, &format!("({STANDING}) > /app/standing")).await;
    let of_dyno = run(&platform, id, "cat /app/standing").await;
    let of_command = run(&platform, id, &format!("({STANDING})")).await;
    assert_eq!(of_command, of_dyno);
    for expected in [
        "Uid:\t1000\t1000\t1000\t1000\n",
        "CapEff:\t0000000000000000\n",
        "CapBnd:\t0000000000000000\n",
        "NoNewPrivs:\t1\n",
        "Seccomp:\t2\n",
        "/app\nweb.1\n0022\n500\n0 1 2 3 ",
    ] {
        assert!(of_command.contains(expected), "{expected}\n{of_command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_keeper_is_open_in_a_command() {
    let platform = Platform::open().await;
    let id = started(&platform, "true").await;
    // Without a pipe, whose ends the shell itself would hold open for a moment.
    let open = "ls -m /proc/$$/fd; readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2";
    let pipes = run(&platform, id, open).await;
    let mut lines = pipes.lines();
    let numbers = lines.next().unwrap();
    assert_eq!(numbers, "0, 1, 2", "{pipes}");
    assert!(lines.all(|line| line.starts_with("pipe:")), "{pipes}");
    let mut stream = enter(&platform, id, inside(open, TERMINAL)).await;
    let mut terminal = String::new();
    soon(stream.read_to_string(&mut terminal)).await.unwrap();
    assert!(
        terminal.ends_with("/dev/pts/0\r\n/dev/pts/0\r\n/dev/pts/0\r\n"),
        "{terminal}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_sees_the_dynos_processes_files_and_environment() {
    let platform = Platform::open().await;
    let mut spec = shell("echo x > /tmp/left; echo ready; exec sleep 1000");
    spec.env.insert("GREETING".to_owned(), "hi".to_owned());
    spec.env.insert("OTHER".to_owned(), "old".to_owned());
    let id = platform.start(spec).await;
    platform.line(id, "ready").await;
    let script = "echo $GREETING $OTHER $HOME $DYNO; cat /tmp/left; tr '\\0' ' ' < /proc/2/cmdline; \
                  echo; echo y > /app/made; cat /app/made";
    let mut spec = inside(script, Stdio::Pipes);
    spec.env.insert("OTHER".to_owned(), "new".to_owned());
    let mut stream = enter(&platform, id, spec).await;
    let mut text = String::new();
    soon(stream.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "hi new /app web.1\nx\nsleep 1000 \ny\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_shares_the_dynos_limits() {
    let platform = Platform::open().await;
    let id = started(&platform, "true").await;
    let eat = format!("python3 -c 'x = b\"x\" * {}'; echo $?", MEMORY_BYTES * 3);
    let text = run(&platform, id, &eat).await;
    // Where the whole dyno goes together, so does the shell that would have told.
    assert!(
        ["137\n", ""].contains(&text.replace("Killed\n", "").as_str()),
        "{text}"
    );
    let platform = Platform::open().await;
    let mut spec = shell("echo ready; exec sleep 1000");
    spec.limits.pids = 20;
    let id = platform.start(spec).await;
    platform.line(id, "ready").await;
    let script = "for i in $(seq 100); do sleep 100 & done 2>/dev/null; echo";
    run(&platform, id, script).await;
    let cgroup = std::fs::read_to_string(platform.dyno_directory(id).join("state")).unwrap();
    let state: serde_json::Value = serde_json::from_str(&cgroup).unwrap();
    let group = state["cgroup"]["directories"][0].as_str().unwrap();
    let count = std::fs::read_to_string(format!("{group}/cgroup.procs")).unwrap();
    assert!(count.lines().count() <= 21, "{count}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_a_real_one_in_each_of_several() {
    let platform = Platform::open().await;
    let id = started(&platform, "true").await;
    let script = "tty; stty size; echo x > /dev/tty; read -r line; echo \"got $line\"";
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(enter(&platform, id, inside(script, TERMINAL)).await);
    }
    for (number, stream) in streams.iter_mut().enumerate() {
        stream.write_all(b"words\n").await.unwrap();
        let mut text = String::new();
        soon(stream.read_to_string(&mut text)).await.unwrap();
        assert!(text.contains(&format!("/dev/pts/{number}\r\n")), "{text}");
        assert!(
            text.contains("37 91\r\n") && text.contains("got words\r\n"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn much_goes_through_pipes_both_ways() {
    const BYTES: usize = 3 << 20;
    let platform = Platform::open().await;
    let id = started(&platform, "true").await;
    let stream = enter(&platform, id, inside("exec cat", Stdio::Pipes)).await;
    let sent: Vec<u8> = (0..BYTES)
        .map(|number| u8::try_from(number % 251).unwrap())
        .collect();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut received = Vec::new();
    let write = async {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    soon(async { tokio::join!(write, reader.read_to_end(&mut received)) })
        .await
        .1
        .unwrap();
    assert!(received == sent, "{} of {BYTES} bytes", received.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_takes_its_whole_session_along() {
    let platform = Platform::open().await;
    let id = started(&platform, "true").await;
    let state = std::fs::read_to_string(platform.dyno_directory(id).join("state")).unwrap();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let group = state["cgroup"]["directories"][0].as_str().unwrap();
    let processes = || {
        let list = std::fs::read_to_string(format!("{group}/cgroup.procs")).unwrap();
        list.lines().count()
    };
    let alone = processes();
    for stdio in [TERMINAL, Stdio::Pipes] {
        // One of them has to be killed.
        let script = "sleep 1000 & sh -c 'trap \"\" HUP; echo ready; while :; do sleep 1; done'";
        let mut stream = enter(&platform, id, inside(script, stdio)).await;
        let mut start = [0; 5];
        soon(stream.read_exact(&mut start)).await.unwrap();
        assert!(processes() > alone);
        drop(stream);
        until("only the dyno's own are left", || processes() == alone).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_command_leaves_behind_lives_on_until_the_dynos_end() {
    let platform = Platform::open().await;
    let id = started(&platform, "true").await;
    let text = run(&platform, id, "(while :; do echo busy; done) & echo left").await;
    assert!(text.contains("left\n"), "{}", text.len());
    let text = run(&platform, id, "ls -d /proc/[0-9]* | wc -l").await;
    assert!(text.trim().parse::<u32>().unwrap() >= 4, "{text}");
    soon(platform.engine.stop(id, Duration::from_secs(30)))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_end_with_the_dyno() {
    let platform = Platform::open().await;
    let id = platform.start(shell("echo ready; sleep 1; read x")).await;
    platform.line(id, "ready").await;
    let script = "trap '' TERM HUP; echo in; while :; do sleep 1; done";
    let mut stream = enter(&platform, id, inside(script, TERMINAL)).await;
    let mut text = String::new();
    soon(stream.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "in\r\n");
    platform.wait(id).await;
    platform.engine.remove(id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_run_is_told() {
    let platform = Platform::open().await;
    let id = started(&platform, "true").await;
    let mut spec = inside("", Stdio::Pipes);
    spec.command = vec!["no-such-program".to_owned()];
    let refused = soon(platform.engine.exec(id, spec)).await.err().unwrap();
    let EngineError::Start { step, source, .. } = refused else {
        panic!("{refused}");
    };
    assert_eq!(
        (step, source.raw_os_error()),
        ("run its command", Some(2)),
        "{source}"
    );
    let logged = inside("true", Stdio::Logged);
    assert!(soon(platform.engine.exec(id, logged)).await.is_err());
    assert_eq!(run(&platform, id, "echo fine").await, "fine\n");
}

async fn listening(platform: &Platform, id: DynoId, port: u16) -> Box<dyn AttachStream> {
    loop {
        match platform.engine.connect(id, port).await {
            Ok(stream) => return stream,
            Err(EngineError::NotListening { .. }) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_are_reached_at_the_loopback_and_the_dynos_own_address() {
    let platform = Platform::open().await;
    let serve = |address: &str, port: u16| {
        let script = "import socket, sys; s = socket.create_server((sys.argv[1], int(sys.argv[2]))); \
                      c, _ = s.accept(); c.sendall(sys.argv[1].encode() + c.recv(9)); c.close()";
        format!("python3 -c '{script}' {address} {port}&")
    };
    let script = format!(
        "{} {} sleep 1000",
        serve("127.0.0.1", 7001),
        serve("web.1", 7002)
    );
    let id = platform.start(shell(&script)).await;
    for (port, address) in [(7001, "127.0.0.1"), (7002, "web.1")] {
        let mut stream = soon(listening(&platform, id, port)).await;
        stream.write_all(b" hello").await.unwrap();
        let mut text = String::new();
        soon(stream.read_to_string(&mut text)).await.unwrap();
        assert_eq!(text, format!("{address} hello"));
    }
}
