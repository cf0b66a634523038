//! What is wrong is refused in words, whatever the link: never a fault of ours, never a success.

use axum::body::Body;
use http::Method;
use serde_json::{Value, json};

use super::{
    links::{self, Link},
    run::Run,
};
use crate::http::harness::{Answer, Harness, TOKEN};

/// Identities of nothing.
const NOTHING: &[&str] = &[
    "00000000-0000-4000-8000-000000000000",
    "nothing",
    "%00",
    "-1",
    "..%2F..",
];
/// What is no range.
const NO_RANGES: &[&str] = &[
    "up",
    "id",
    "id ..; max=0",
    "id ..; max=x",
    "id ..; order=sideways",
];
/// Properties that are passed over whatever they are, and why.
const PASSED_OVER: &[(&str, &str)] = &[
    ("allow_tracking", "nobody is tracked"),
    ("beta", "there are no beta features"),
    ("feature_flags", "there are none when an app is made"),
];
const STRANGER: &str = "token-of-a-stranger-0123456789abcdef";

/// Wrong calls, and what was not refused as it should be.
#[derive(Default)]
struct Verdicts {
    tried: usize,
    wrong: Vec<String>,
}

impl Verdicts {
    fn judge(&mut self, call: &str, answer: &Answer, expected: &[u16]) {
        self.tried += 1;
        let body: Value = serde_json::from_str(&answer.text).unwrap_or_default();
        let says = |name: &str| body[name].as_str().is_some_and(|text| !text.is_empty());
        let is_refused = expected.contains(&answer.status.as_u16());
        if !is_refused || !says("id") || !says("message") {
            let (status, text) = (answer.status, &answer.text);
            self.wrong.push(format!("{call}: {status} {text:.200}"));
        }
    }
}

#[tokio::test]
async fn what_is_wrong_is_refused_in_words() {
    let harness = Harness::start().await;
    harness.app("example").await;
    let stranger = harness
        .platform
        .ensure_account("stranger@example.com", STRANGER);
    stranger.await.unwrap();
    let mut run = Run::new(&harness, links::published());
    run.name("app", "example");
    run.name("account", "~");
    let mut verdicts = Verdicts::default();
    for link in &run.links {
        bad_identities(&run, link, &mut verdicts).await;
        bad_bodies(&run, link, &mut verdicts).await;
        missing_rights(&run, link, &mut verdicts).await;
        bad_ranges(&run, link, &mut verdicts).await;
    }
    println!("figure conformance_wrong_calls {} count", verdicts.tried);
    let wrong = verdicts.wrong;
    assert!(
        wrong.is_empty(),
        "{} of them:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

async fn bad_identities(run: &Run<'_>, link: &Link, verdicts: &mut Verdicts) {
    for parameter in link.parameters() {
        for nothing in NOTHING {
            let path = link.path.replace(&format!("{{{parameter}}}"), nothing);
            let path = run.filled(&path);
            let body = if link.body.is_some() {
                json!({})
            } else {
                Value::Null
            };
            let answer = run.ask(&link.method, &path, &body).await;
            let call = format!("{} {path}", link.method);
            verdicts.judge(&call, &answer, &[400, 403, 404, 422]);
        }
    }
}

async fn bad_bodies(run: &Run<'_>, link: &Link, verdicts: &mut Verdicts) {
    let path = run.filled(&link.path);
    for body in link.body.iter().flat_map(links::wrong_bodies) {
        if PASSED_OVER.iter().any(|(name, _)| body.get(name).is_some()) {
            continue;
        }
        let answer = run.ask(&link.method, &path, &body).await;
        let call = format!("{} {path} {body}", link.method);
        verdicts.judge(&call, &answer, &[400, 401, 404, 422]);
    }
    if link.body.is_some() {
        let request = Harness::request(link.method.clone(), &path, TOKEN);
        let answer = run
            .harness
            .send(request.body(Body::from("{\"a\":")).unwrap())
            .await;
        let call = format!("{} {path} with half a body", link.method);
        verdicts.judge(&call, &answer, &[400, 401, 404]);
    }
}

async fn missing_rights(run: &Run<'_>, link: &Link, verdicts: &mut Verdicts) {
    let path = run.filled(&link.path);
    let body = || Body::from(if link.method == Method::GET { "" } else { "{}" });
    for token in ["", "wrong"] {
        let request = Harness::request(link.method.clone(), &path, token);
        let answer = run.harness.send(request.body(body()).unwrap()).await;
        let call = format!("{} {path} as {token:?}", link.method);
        verdicts.judge(&call, &answer, &[401, 404, 422]);
    }
    if link.path.starts_with("/apps/{app}") {
        let request = Harness::request(link.method.clone(), &path, STRANGER);
        let answer = run.harness.send(request.body(body()).unwrap()).await;
        let call = format!("{} {path} as a stranger", link.method);
        verdicts.judge(&call, &answer, &[403, 404]);
    }
}

async fn bad_ranges(run: &Run<'_>, link: &Link, verdicts: &mut Verdicts) {
    if !link.is_list || link.method != Method::GET {
        return;
    }
    let path = run.filled(&link.path);
    for range in NO_RANGES {
        let answer = run.harness.get_range(&path, range).await;
        verdicts.judge(&format!("{path} {range}"), &answer, &[404, 416]);
    }
}
