//! Inside access: who may, and what is answered.

use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::json;

use super::harness::Harness;

#[tokio::test]
async fn sessions_inside_a_dyno() {
    let harness = Harness::start().await;
    harness.app("example").await;
    harness.deploy("example", &[("web", "serve")]).await;
    harness
        .until("/apps/example/dynos", |dynos| dynos[0]["state"] == "up")
        .await;
    let web = "/apps/example/dynos/web.1";
    for (path, body) in [
        (
            web.to_owned(),
            json!({ "command": "cat", "env": { "TERM": "x", "COLUMNS": 80 } }),
        ),
        (format!("{web}/copies"), json!({ "path": "/app/x" })),
        (
            format!("{web}/copies"),
            json!({ "path": "/app", "name": "x" }),
        ),
        (format!("{web}/forwards"), json!({ "port": 9229 })),
    ] {
        let opened = harness.post(&path, body).await;
        assert_eq!(opened.status, StatusCode::CREATED, "{opened:?}");
        let opened = opened.json();
        let url = opened["attach_url"].as_str().unwrap();
        assert!(url.starts_with("rendezvous://localhost:5000/rz-"), "{url}");
        assert_eq!(
            (&opened["name"], &opened["size"]),
            (&json!("web.1"), &json!("Standard-1X"))
        );
    }
    for (path, body, status) in [
        (web, json!({}), StatusCode::UNPROCESSABLE_ENTITY),
        (
            web,
            json!({ "command": "" }),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            "/apps/example/dynos/web.7",
            json!({ "command": "ls" }),
            StatusCode::NOT_FOUND,
        ),
        (
            "/apps/none/dynos/web.1",
            json!({ "command": "ls" }),
            StatusCode::NOT_FOUND,
        ),
    ] {
        assert_eq!(harness.post(path, body).await.status, status, "{path}");
    }
    let feature = harness
        .get("/apps/example/features/runtime-heroku-exec")
        .await;
    assert_eq!(feature.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        feature.text.contains("landfall ps:exec"),
        "{}",
        feature.text
    );
}

#[tokio::test]
async fn a_token_that_may_not_see_secrets_may_not_enter() {
    let harness = Harness::start().await;
    harness.app("example").await;
    harness.deploy("example", &[("web", "serve")]).await;
    let made = harness
        .post("/oauth/authorizations", json!({ "scope": ["write"] }))
        .await;
    let made = made.json();
    let token = made["access_token"]["token"].as_str().unwrap();
    for (path, body) in [
        ("/apps/example/dynos/web.1", json!({ "command": "env" })),
        (
            "/apps/example/dynos/web.1/copies",
            json!({ "path": "/app" }),
        ),
        ("/apps/example/dynos/web.1/forwards", json!({ "port": 80 })),
    ] {
        let request = Harness::request(Method::POST, path, token);
        let refused = harness
            .send(request.body(Body::from(body.to_string())).unwrap())
            .await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
    }
}
