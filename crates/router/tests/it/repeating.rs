//! Which requests go to another dyno when theirs dies over them.

use router::wire::AppState;

use crate::support::{Bench, Dyno, HOST, body, exchange, get, status};

/// A dyno that reads a request and dies.
async fn dying(name: &str) -> Dyno {
    Dyno::saying(name, "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeatable_request_goes_to_another_dyno() {
    let mut bench = Bench::new().await;
    let (one, two, alive) = (
        dying("web.1").await,
        dying("web.2").await,
        Dyno::named("web.3").await,
    );
    bench.serve(&[&one, &two, &alive]).await;
    for _ in 0..30 {
        assert_eq!(body(&get(bench.http(), "/").await), "web.3");
        let line = bench.line().await;
        assert!(
            line.starts_with("at=info ") && line.contains("dyno=web.3 "),
            "{line}"
        );
    }
    let died = *one.connections.lock().unwrap() + *two.connections.lock().unwrap();
    assert!(died > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unrepeatable_request_does_not() {
    let mut bench = Bench::new().await;
    let (dead, alive) = (dying("web.1").await, Dyno::named("web.2").await);
    bench.serve(&[&dead, &alive]).await;
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let mut failed = 0;
    for _ in 0..30 {
        let answer = exchange(bench.http(), &request).await;
        failed += u32::from(status(&answer) == "503");
        bench.line().await;
    }
    assert_eq!(*dead.connections.lock().unwrap(), failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_kills_its_dyno_does_not_kill_them_all() {
    let mut bench = Bench::new().await;
    let mut dynos = Vec::new();
    for number in 1..=6 {
        dynos.push(dying(&format!("web.{number}")).await);
    }
    bench
        .route(AppState::Serving, &dynos.iter().collect::<Vec<_>>())
        .await;
    let page = get(bench.http(), "/").await;
    assert!(page.contains("Code H13 "), "{page}");
    let died: u32 = dynos
        .iter()
        .map(|dyno| *dyno.connections.lock().unwrap())
        .sum();
    assert_eq!(died, 3);
}
