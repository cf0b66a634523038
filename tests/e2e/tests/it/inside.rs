//! Inside access: the official `heroku run:inside`, and `landfall ps:exec`, `ps:copy` and
//! `ps:forward`.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use e2e::{App, Platform, shell, shell::Output, until};

/// `landfall ps:…` on the app.
fn landfall(app: &App<'_>, words: &[&str]) -> Command {
    let (command, rest) = words.split_first().expect("a command");
    let mut landfall = app.platform.landfall_command(command);
    landfall.args(["--app", &app.name]).args(rest);
    landfall
}

fn run(app: &App<'_>, words: &[&str]) -> Output {
    shell::run(&mut landfall(app, words), "")
}

#[test]
fn a_running_dyno_is_entered() {
    let app = App::deployed(Platform::shared(), "python-hello");
    app.heroku(&["config:set", "GREETING=hi there"]).ok();
    let greeting = || app.get("/env?GREETING").body;
    until("the value is served", || {
        (greeting() == "hi there").then_some(())
    });
    // The official CLI, which runs its command in a terminal.
    app.heroku(&[
        "run:inside",
        "web.1",
        "--",
        "echo $GREETING; tr '\\0' ' ' < /proc/2/cmdline",
    ])
    .ok()
    .says("hi there")
    .says("python");
    app.heroku(&["run:inside", "web.7", "--", "ls"])
        .refused()
        .says("Couldn't find that dyno");
    app.heroku(&["ps:exec"]).refused().says("landfall ps:exec");
    // Ours: streams as they are, and the command's own status.
    let said = run(
        &app,
        &["ps:exec", "--", "echo $GREETING; echo $DYNO; id -u; exit 7"],
    );
    assert_eq!(
        (said.status, said.stdout.as_str()),
        (7, "hi there\nweb.1\n1000\n"),
        "{}",
        said.stderr
    );
    let mut cat = landfall(&app, &["ps:exec", "web.1", "--", "cat"]);
    let echoed = shell::run(&mut cat, "in\u{4}\n").ok();
    assert_eq!(echoed.stdout, "in\u{4}\n");
    let answers = [("$ ", "echo $((6 * 7)) $(tty)"), ("42 /dev/pts/", "exit 3")];
    let mut command = landfall(&app, &["ps:exec"]);
    assert_eq!(shell::converse(&mut command, &answers).status, 3);
    run(&app, &["ps:exec", "web.9", "--", "ls"])
        .refused()
        .says("Couldn't find that dyno");
    // Still the same dyno, and nothing of this in its log.
    app.heroku(&["ps"]).ok().says("web.1: up");
}

#[test]
fn files_are_copied_from_and_to_a_dyno() {
    let app = App::deployed(Platform::shared(), "python-hello");
    let scratch = app.platform.scratch("copies");
    let local = |name: &str| scratch.join(name).display().to_string();
    run(&app, &["ps:exec", "--", "mkdir -p d/e; echo one > 'd/a b'; head -c 300000 /dev/urandom > d/e/big; ln -s big d/e/link; sha256sum < d/e/big > sum"])
        .ok();
    run(&app, &["ps:copy", "web.1:sum", &local("sum")]).ok();
    run(&app, &["ps:copy", "web.1:/app/d", &local("tree")]).ok();
    assert_eq!(
        fs::read_to_string(scratch.join("tree/a b")).unwrap(),
        "one\n"
    );
    assert_eq!(
        fs::read_link(scratch.join("tree/e/link")).unwrap().to_str(),
        Some("big")
    );
    let sum = shell::run(
        Command::new("sh").args(["-c", "sha256sum < \"$0\"", &local("tree/e/big")]),
        "",
    );
    assert_eq!(
        sum.ok().stdout,
        fs::read_to_string(scratch.join("sum")).unwrap()
    );
    run(&app, &["ps:copy", &local("tree"), "web.1:/tmp"]).ok();
    run(&app, &["ps:copy", &local("sum"), "web.1:/tmp/renamed"]).ok();
    run(
        &app,
        &[
            "ps:exec",
            "--",
            "sha256sum < /tmp/tree/e/big | cmp - /tmp/renamed && cmp sum /tmp/renamed",
        ],
    )
    .ok();
    run(&app, &["ps:copy", "web.1:/none", &local("none")])
        .refused()
        .says("/none: no such file or directory");
    run(&app, &["ps:copy", &local("sum"), "web.1:/proc/x"])
        .refused()
        .says("/proc");
    assert!(!scratch.join("none").exists());
}

#[test]
fn ports_of_a_dyno_are_forwarded() {
    let app = App::deployed(Platform::shared(), "python-hello");
    let port = app.get("/env?PORT").body;
    let mut forward = landfall(&app, &["ps:forward", "web.1", &format!("0:{port}"), "0:1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(forward.stdout.take().unwrap()).lines();
    let mut address = || {
        let line = lines.next().unwrap().unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    let (served, silent) = (address(), address());
    for _ in 0..3 {
        let mut stream = TcpStream::connect(&served).unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        if !answer.contains("Hello from Landfall") {
            forward.kill().unwrap();
            panic!("answered {answer:?}, said {:?}", errors_of(&mut forward));
        }
    }
    let mut nothing = Vec::new();
    let mut stream = TcpStream::connect(&silent).unwrap();
    stream.read_to_end(&mut nothing).unwrap();
    assert!(nothing.is_empty());
    forward.kill().unwrap();
    forward.wait().unwrap();
    let said = errors_of(&mut forward);
    assert!(said.contains("nothing listens on port 1"), "{said}");
}

/// What an ended command wrote to its standard error.
fn errors_of(command: &mut Child) -> String {
    let mut said = String::new();
    let stderr = command
        .stderr
        .take()
        .map(|mut all| all.read_to_string(&mut said));
    stderr.expect("it is piped").expect("it is UTF-8");
    said
}
