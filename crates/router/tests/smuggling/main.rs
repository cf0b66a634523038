//! Request smuggling: bytes that two parties could read differently, through a real router to
//! real dynos, one case after the other.
//!
//! Behind each case the same connection asks for a marker of its own, and another client's
//! connection for one of its. Nobody may get another's answer, and the dyno must have seen exactly
//! the requests that the case names. Read [`case::Must`], then a file of [`cases`].
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod case;
mod cases;
mod dynos;
mod front;
mod judge;
mod known;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    case::{Case, HOST, Must},
    cases::responses::{Outcome, Reply, replies},
    dynos::Dyno,
    front::{Front, Way},
    judge::{Happened, Heard, echo, judge},
};

#[test]
fn there_are_enough_cases_and_each_has_its_name() {
    let names: Vec<String> = cases::requests()
        .into_iter()
        .map(|case| case.name)
        .collect();
    let replies: Vec<String> = replies().into_iter().map(|reply| reply.name).collect();
    assert!(names.len() + replies.len() >= 200);
    for (names, known) in [(names, known::REQUESTS), (replies, known::REPLIES)] {
        let different: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(different.len(), names.len(), "two cases of one name");
        for known in known {
            assert!(different.contains(known), "there is no case `{known}`");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_to_a_recorder() {
    check_requests(dynos::recorder().await, Way::Plain, known::REQUESTS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_over_the_bridge() {
    check_requests(
        dynos::recorder().await,
        Way::Bridge,
        known::BRIDGED_REQUESTS,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_to_node() {
    if let Some(dyno) = dynos::printing("node", "node.js").await {
        check_requests(dyno, Way::Plain, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_to_python() {
    if let Some(dyno) = dynos::printing("python3", "python.py").await {
        check_requests(dyno, Way::Plain, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_to_nginx() {
    if let Some(dyno) = dynos::proxy("nginx", dynos::nginx, &["-p", ".", "-c"]).await {
        check_requests(dyno, Way::Plain, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_to_haproxy() {
    if let Some(dyno) = dynos::proxy("haproxy", dynos::haproxy, &["-db", "-f"]).await {
        check_requests(dyno, Way::Plain, &[]).await;
    }
}

/// Known failures are tried before the recorder alone.
async fn check_requests(mut dyno: Dyno, way: Way, known: &[&str]) {
    let mut front = Front::before(dyno.address, way).await;
    let with_known = !known.is_empty() || way == Way::Bridge;
    let mut failures = BTreeMap::new();
    for (number, case) in cases::requests().into_iter().enumerate() {
        if !with_known && known::REQUESTS.contains(&case.name.as_str()) {
            continue;
        }
        if let Err(complaint) = check_request(&mut front, &mut dyno, &case, number).await {
            failures.insert(case.name, complaint);
        }
    }
    compare(&failures, known);
}

async fn check_request(
    front: &mut Front,
    dyno: &mut Dyno,
    case: &Case,
    number: usize,
) -> Result<(), String> {
    let (marker, other) = (format!("/marker-{number}"), format!("/other-{number}"));
    let mut bytes = case.bytes.clone();
    bytes.extend_from_slice(&marked(&marker));
    let methods: Vec<&str> = match &case.must {
        Must::Refuse => Vec::new(),
        Must::Forward(asked) | Must::Either(asked) => {
            asked.iter().map(|one| one.method.as_str()).collect()
        }
    };
    let heard = front.send(&bytes, &methods).await;
    let told = front.bystander(&other).await;
    let seen = dyno.seen_until(&other).await;
    if told != echo("GET", &other, 0) {
        return Err(format!("another client was told {told}"));
    }
    let happened = Happened {
        heard: &heard.ok_or("it hangs")?,
        seen: &seen,
        marker: &marker,
        dyno_may_refuse: dyno.may_refuse,
    };
    judge(case, &happened)
}

/// A request after which the connection ends.
fn marked(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n").into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_hostile_dynos() {
    check_replies(Way::Plain, known::REPLIES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_hostile_dynos_over_the_bridge() {
    check_replies(Way::Bridge, known::BRIDGED_REPLIES).await;
}

async fn check_replies(way: Way, known: &[&str]) {
    let reply = Arc::new(Mutex::new(None));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let current = Arc::clone(&reply);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(play(stream, Arc::clone(&current)));
        }
    });
    let mut front = Front::before(address, way).await;
    let mut failures = BTreeMap::new();
    for (number, case) in replies().into_iter().enumerate() {
        *reply.lock().unwrap() = Some(case.clone());
        if let Err(complaint) = check_reply(&mut front, &case, number).await {
            failures.insert(case.name, complaint);
        }
    }
    compare(&failures, known);
}

/// A dyno that answers the case's request as the case says, all others properly.
async fn play(mut stream: TcpStream, reply: Arc<Mutex<Option<Reply>>>) {
    let mut bytes = Vec::new();
    loop {
        while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            bytes.drain(..end + 4);
            let mut words = head.split(' ');
            let (method, target) = (words.next().unwrap(), words.next().unwrap());
            let case = reply.lock().unwrap().clone().filter(|_| target == "/case");
            let closes = case.as_ref().is_some_and(|case| case.closes);
            let answer = case.map_or_else(
                || {
                    let echo = echo(method, target, 0);
                    let length = echo.len();
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{echo}")
                        .into_bytes()
                },
                |case| case.bytes,
            );
            if stream.write_all(&answer).await.is_err() || closes {
                return;
            }
        }
        if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
            return;
        }
    }
}

async fn check_reply(front: &mut Front, case: &Reply, number: usize) -> Result<(), String> {
    let (marker, other) = (format!("/marker-{number}"), format!("/other-{number}"));
    let mut bytes = format!("{} /case HTTP/1.1\r\nHost: {HOST}\r\n\r\n", case.method).into_bytes();
    bytes.extend_from_slice(&marked(&marker));
    let heard = front.send(&bytes, &[case.method]).await;
    let told = front.bystander(&other).await;
    if told != echo("GET", &other, 0) {
        return Err(format!("another client was told {told}"));
    }
    let heard = heard.ok_or("it hangs")?;
    let (answer, others) = match heard.answers.split_first() {
        Some((answer, others)) => (Some(answer), others),
        None => (None, &[][..]),
    };
    let is_own = others
        .iter()
        .all(|at| at.body == echo("GET", &marker, 0).as_bytes());
    if others.len() > 1 || !is_own {
        return Err(format!("then came {others:?}"));
    }
    let is_as_said = match &case.must {
        Outcome::Whole(status, body) => is_whole(&heard, *status, body),
        Outcome::Fail => answer.is_some_and(|at| at.status >= 500),
        Outcome::Break => answer.is_none_or(|at| at.status >= 500),
        Outcome::WholeOrFail(status, body) => {
            answer.is_some_and(|at| at.status >= 500) || is_whole(&heard, *status, body)
        }
    };
    is_as_said
        .then_some(())
        .ok_or_else(|| format!("the client was told {heard:?}"))
}

fn is_whole(heard: &Heard, status: u16, body: &str) -> bool {
    let first = heard.answers.first();
    first.is_some_and(|at| at.status == status && at.body == body.as_bytes())
}

/// Failures are those that are known, no more and no fewer.
fn compare(failures: &BTreeMap<String, String>, known: &[&str]) {
    let is_known = |name: &&String| known.contains(&name.as_str());
    let fresh: Vec<String> = failures
        .iter()
        .filter(|(name, _)| !is_known(name))
        .map(|(name, complaint)| format!("{name}\n    {complaint}"))
        .collect();
    let mended: Vec<&&str> = known
        .iter()
        .filter(|name| !failures.contains_key(**name))
        .collect();
    assert!(
        fresh.is_empty(),
        "{} failures:\n{}",
        fresh.len(),
        fresh.join("\n")
    );
    assert!(
        mended.is_empty(),
        "these pass now, take them off the list: {mended:#?}"
    );
}
