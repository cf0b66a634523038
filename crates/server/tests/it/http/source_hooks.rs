//! A source repository, and the webhooks of the code host it is at.

use axum::body::Body;
use http::{Method, StatusCode};
use ring::hmac;
use serde_json::{Value, json};

use super::harness::{Answer, Harness, path_of};

const COMMIT: &str = "9049f1265b7d61be4a8904a9a27120d2064dab3b";

async fn with_hook(sender: &str) -> (Harness, Value) {
    let harness = Harness::start().await;
    harness.app("shop").await;
    let repository = json!({ "url": "git@example.com:someone/shop.git", "branch": "live" });
    let set = harness.put("/apps/shop/source-repository", repository);
    assert_eq!(set.await.status, StatusCode::OK);
    let made = harness.post("/apps/shop/source-hooks", json!({ "sender": sender }));
    let made = made.await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let made = made.json();
    (harness, made)
}

fn tag(hook: &Value, body: &str) -> String {
    let secret = hook["secret"].as_str().unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, body.as_bytes());
    let digits = tag.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect::<Vec<_>>().concat()
}

fn push(branch: &str) -> String {
    json!({ "ref": format!("refs/heads/{branch}"), "before": "0".repeat(40), "after": COMMIT,
        "repository": { "clone_url": "https://evil.example/other.git" }, "commits": [] })
    .to_string()
}

/// What a code host sends; it has no token.
async fn deliver(harness: &Harness, hook: &Value, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Harness::request(Method::POST, &path_of(&hook["url"]), "");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    harness.send(request).await
}

#[tokio::test]
async fn a_repository_has_a_deploy_key_that_stays() {
    let harness = Harness::start().await;
    harness.app("shop").await;
    let path = "/apps/shop/source-repository";
    assert_eq!(harness.get(path).await.status, StatusCode::NOT_FOUND);
    let first = json!({ "url": "https://example.com/shop.git" });
    let first = harness.put(path, first).await.json();
    assert_eq!(first["branch"], "main");
    let key = first["deploy_key"].as_str().unwrap();
    assert!(
        key.starts_with("ssh-ed25519 ") && key.ends_with(" landfall-shop"),
        "{key}"
    );
    let second = json!({ "url": "git@example.com:shop.git", "branch": "live" });
    let second = harness.put(path, second).await.json();
    assert_eq!(second["url"], "ssh://git@example.com/shop.git");
    assert_eq!(second["deploy_key"], first["deploy_key"]);
    assert_eq!(harness.get(path).await.json(), second);
    for (url, word) in [
        ("https://token@example.com/shop.git", "password or token"),
        ("file:///etc/passwd", "not an address"),
        ("ssh://-oProxyCommand=id/x", "not an address"),
    ] {
        let refused = harness.put(path, json!({ "url": url })).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{url}");
        assert!(refused.text.contains(word), "{url}: {}", refused.text);
    }
    assert_eq!(harness.delete(path).await.status, StatusCode::OK);
    assert_eq!(harness.get(path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_signed_push_to_the_branch_builds_once() {
    let (harness, hook) = with_hook("github").await;
    let body = push("live");
    let signature = format!("sha256={}", tag(&hook, &body));
    let headers = |id| {
        [
            ("x-github-event", "push"),
            ("x-github-delivery", id),
            ("x-hub-signature-256", signature.as_str()),
        ]
    };
    let heard = deliver(&harness, &hook, &headers("one"), &body).await;
    assert_eq!(heard.status, StatusCode::ACCEPTED, "{heard:?}");
    let build = heard.json()["build"].as_str().unwrap().to_owned();
    let build = harness
        .get(&format!("/apps/shop/builds/{build}"))
        .await
        .json();
    // From the app's own repository, whatever the delivery says.
    let url = &build["source_blob"]["url"];
    assert_eq!(url, "git+ssh://git@example.com/someone/shop.git#live");
    for id in ["one", "two"] {
        let again = deliver(&harness, &hook, &headers(id), &body).await;
        assert_eq!(again.status, StatusCode::OK, "{again:?}");
        assert_eq!(again.json()["message"], "This delivery was heard before.");
    }
    let builds = harness.get("/apps/shop/builds").await.json();
    assert_eq!(builds.as_array().unwrap().len(), 1);
    let other = push("other");
    let signature = format!("sha256={}", tag(&hook, &other));
    let headers = [
        ("x-github-event", "push"),
        ("x-hub-signature-256", signature.as_str()),
    ];
    let other = deliver(&harness, &hook, &headers, &other).await;
    assert_eq!(other.status, StatusCode::OK);
    assert_eq!(other.json()["message"], "Only pushes to live are deployed.");
}

#[tokio::test]
async fn other_code_hosts_prove_themselves_their_own_way() {
    let (harness, hook) = with_hook("gitlab").await;
    let secret = hook["secret"].as_str().unwrap();
    let headers = [("x-gitlab-event", "Push Hook"), ("x-gitlab-token", secret)];
    let heard = deliver(&harness, &hook, &headers, &push("live")).await;
    assert_eq!(heard.status, StatusCode::ACCEPTED, "{heard:?}");
    let (harness, hook) = with_hook("gitea").await;
    let body = push("live");
    let signature = tag(&hook, &body);
    let headers = [
        ("x-gitea-event", "push"),
        ("x-gitea-signature", signature.as_str()),
    ];
    let heard = deliver(&harness, &hook, &headers, &body).await;
    assert_eq!(heard.status, StatusCode::ACCEPTED, "{heard:?}");
}

#[tokio::test]
async fn who_does_not_know_the_secret_is_not_heard() {
    let (harness, hook) = with_hook("github").await;
    let body = push("live");
    let good = format!("sha256={}", tag(&hook, &body));
    let unsigned = [("x-github-event", "push")];
    let refused = deliver(&harness, &hook, &unsigned, &body).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let headers = [
        ("x-github-event", "push"),
        ("x-hub-signature-256", good.as_str()),
    ];
    let refused = deliver(&harness, &hook, &headers, &push("other")).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    // The right hook of another app.
    harness.app("other").await;
    let elsewhere = hook["url"].as_str().unwrap().replace("/shop/", "/other/");
    let elsewhere = json!({ "url": elsewhere });
    let refused = deliver(&harness, &elsewhere, &headers, &body).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    let listed = harness.get("/apps/shop/source-hooks").await;
    assert!(!listed.text.contains(hook["secret"].as_str().unwrap()));
    let one = format!(
        "/apps/shop/source-hooks/{}",
        listed.json()[0]["id"].as_str().unwrap()
    );
    assert_eq!(harness.delete(&one).await.status, StatusCode::OK);
    let gone = deliver(&harness, &hook, &headers, &body).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    let builds = harness.get("/apps/shop/builds").await.json();
    assert_eq!(builds, json!([]));
}
