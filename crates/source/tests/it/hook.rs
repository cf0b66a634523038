//! The hook's program when the server is not what it was.

use std::{
    io::Write,
    os::unix::net::UnixListener,
    path::Path,
    process::{Command, Output, Stdio},
};

fn run(socket: &Path) -> Output {
    let mut hook = Command::new(crate::site::hook_program())
        .env_clear()
        .env("LANDFALL_HOOK_SOCKET", socket)
        .env("LANDFALL_PUSH", "0123")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let zeros = "0".repeat(40);
    let update = format!("{zeros} {zeros} refs/heads/main\n");
    hook.stdin
        .take()
        .unwrap()
        .write_all(update.as_bytes())
        .unwrap();
    hook.wait_with_output().unwrap()
}

fn check(output: &Output, expected: &str) {
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(shown.contains(expected), "{shown}");
}

#[test]
fn without_a_server_the_push_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    check(
        &run(&dir.path().join("hook.sock")),
        "The Landfall server cannot be reached",
    );
}

#[test]
fn a_server_that_goes_away_refuses_the_push() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("hook.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let server = std::thread::spawn(move || {
        let (mut hook, _) = listener.accept().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(&hook), &mut String::new())
            .unwrap();
        hook.write_all(b"{\"line\":\"-----> Python app detected\"}\n")
            .unwrap();
    });
    let output = run(&socket);
    server.join().unwrap();
    check(
        &output,
        "-----> Python app detected\n !     The Landfall server went away during the push.",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_from_before_a_restart_is_refused() {
    let site = crate::site::Site::open().await;
    let socket = site.hook_socket();
    let output = tokio::task::spawn_blocking(move || run(&socket))
        .await
        .unwrap();
    check(
        &output,
        "The server was restarted during this push. Push again.",
    );
}
