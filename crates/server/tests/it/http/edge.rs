//! What is the same for every route: default deny, headers, ranges, unknown endpoints.

use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::json;
use server::http::table;

use super::harness::{Harness, TOKEN};

#[tokio::test]
async fn every_route_that_is_not_public_asks_for_a_token() {
    let harness = Harness::start().await;
    harness.app("example").await;
    for route in table().iter().filter(|route| !route.is_public()) {
        let path = route.path().replace("{app}", "example");
        for token in ["", "wrong"] {
            let request = Harness::request(route.method().clone(), &path, token);
            let answer = harness.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(
                answer.status,
                StatusCode::UNAUTHORIZED,
                "{} {path}",
                route.method()
            );
            assert_eq!(answer.json()["id"], "unauthorized");
            assert!(!answer.header("www-authenticate").is_empty());
        }
    }
}

#[tokio::test]
async fn secret_urls_need_their_secret() {
    let harness = Harness::start().await;
    let id = uuid::Uuid::now_v7();
    for path in [
        format!("/streams/{id}/0000"),
        "/streams/x/0000".to_owned(),
        format!("/sources/{id}/0000"),
        format!("/slugs/{id}/0000"),
        "/logs/e30/0000".to_owned(),
    ] {
        let request = Harness::request(Method::GET, &path, "")
            .body(Body::empty())
            .unwrap();
        let answer = harness.send(request).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn unknown_endpoints_and_methods_are_explained() {
    let harness = Harness::start().await;
    for (method, path) in [
        (Method::GET, "/nothing"),
        (Method::PUT, "/account"),
        (Method::POST, "/"),
    ] {
        let request = Harness::request(method, path, TOKEN)
            .body(Body::empty())
            .unwrap();
        let answer = harness.send(request).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.json()["id"], "not_found");
        assert!(
            answer.json()["message"]
                .as_str()
                .unwrap()
                .starts_with("The requested API endpoint")
        );
    }
}

#[tokio::test]
async fn answers_carry_request_id_etag_and_rate_limit() {
    let harness = Harness::start().await;
    let id = uuid::Uuid::now_v7().to_string();
    let request = |known: &str| {
        Harness::request(Method::GET, "/account", TOKEN)
            .header("request-id", &id)
            .header("if-none-match", known)
            .body(Body::empty())
            .unwrap()
    };
    let answer = harness.send(request("\"x\"")).await;
    assert_eq!(answer.header("request-id"), id);
    assert!(
        answer
            .header("content-type")
            .starts_with("application/json")
    );
    let left: u32 = answer.header("ratelimit-remaining").parse().unwrap();
    let same = harness.send(request(answer.header("etag"))).await;
    assert_eq!(
        (same.status, same.text.as_str()),
        (StatusCode::NOT_MODIFIED, "")
    );
    let limit = harness.get("/account/rate-limits").await.json()["remaining"]
        .as_u64()
        .unwrap();
    assert!(limit >= u64::from(left) - 1, "{limit} {left}");
}

#[tokio::test]
async fn long_request_ids_and_every_variant_are_taken() {
    let harness = Harness::start().await;
    for variant in ["", ".sdk", ".pipelines", ".cedar-acm", ".never-heard-of"] {
        let request = Harness::request(Method::GET, "/account", TOKEN)
            .header(
                "accept",
                format!("application/vnd.heroku+json; version=3{variant}"),
            )
            .header(
                "request-id",
                "0198b2b7-0000-7000-8000-000000000000,".repeat(190),
            )
            .body(Body::empty());
        let answer = harness.send(request.unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK, "{variant}");
        assert_eq!(answer.header("request-id").len(), 36);
    }
}

#[tokio::test]
async fn lists_come_in_parts() {
    let harness = Harness::start().await;
    for name in ["app-a", "app-b", "app-c"] {
        harness.app(name).await;
    }
    let first = harness
        .get_range("/apps", "name ..; max=2, order=desc")
        .await;
    assert_eq!(first.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(first.header("content-range"), "name app-c..app-b");
    assert_eq!(
        first.header("next-range"),
        "name ]app-b..; max=2, order=desc"
    );
    let rest = harness.get_range("/apps", first.header("next-range")).await;
    assert_eq!(rest.status, StatusCode::OK);
    assert_eq!(rest.json()[0]["name"], "app-a");
    assert_eq!(rest.header("next-range"), "");
    let refused = harness.get_range("/apps", "name ..; max=none").await;
    assert_eq!(refused.status, StatusCode::RANGE_NOT_SATISFIABLE);
}

#[tokio::test]
async fn bodies_that_are_not_what_they_should_be() {
    let harness = Harness::start().await;
    let send = async |body: &'static str| {
        let request = Harness::request(Method::POST, "/apps", TOKEN).body(Body::from(body));
        harness.send(request.unwrap()).await
    };
    assert_eq!(send("{").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(send("[]").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(send("").await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn what_nobody_has_yet_is_empty() {
    let harness = Harness::start().await;
    harness.app("example").await;
    for path in [
        "/addons",
        "/teams",
        "/pipelines",
        "/account/keys",
        "/apps/example/addons",
    ] {
        let answer = harness.get(path).await;
        assert_eq!(
            (answer.status, answer.json()),
            (StatusCode::OK, json!([])),
            "{path}"
        );
    }
    let resolved = harness
        .post("/actions/addons/resolve", json!({ "addon": "db" }))
        .await;
    assert_eq!(resolved.status, StatusCode::NOT_FOUND);
    assert_eq!(resolved.json()["resource"], "add_on");
}
