//! Sources and builds, up to the point where the builder takes over.

use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::json;

use super::harness::{Harness, path_of};

#[tokio::test]
async fn an_archive_is_uploaded_and_read_back_by_its_secret() {
    let harness = Harness::start().await;
    let source = harness.post("/sources", json!({})).await.json();
    let path = path_of(&source["source_blob"]["put_url"]);
    let request = |method: Method, body: &'static str| {
        http::Request::builder()
            .method(method)
            .uri(&path)
            .body(Body::from(body))
            .unwrap()
    };
    assert_eq!(
        harness.send(request(Method::GET, "")).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        harness.send(request(Method::PUT, "archive")).await.status,
        StatusCode::OK
    );
    assert_eq!(harness.send(request(Method::GET, "")).await.text, "archive");
}

#[tokio::test]
async fn only_what_can_be_fetched_is_built() {
    let harness = Harness::start().await;
    harness.app("example").await;
    let unknown = format!("http://localhost:5000/sources/{}/2", uuid::Uuid::nil());
    for url in [
        unknown.as_str(),
        "x",
        "file:///etc/passwd",
        "ftp://elsewhere.example/a.tgz",
        "https://me:secret@elsewhere.example/a.tgz",
        "git+https://elsewhere.example/a.git#--upload-pack=id",
    ] {
        let body = json!({ "source_blob": { "url": url } });
        let answer = harness.post("/apps/example/builds", body).await;
        assert!(answer.status.is_client_error(), "{url}: {answer:?}");
    }
    let body =
        json!({ "source_blob": { "url": "https://elsewhere.example/a", "checksum": "md5:0" } });
    let refused = harness.post("/apps/example/builds", body).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(harness.get("/apps/example/builds").await.json(), json!([]));
}

#[tokio::test]
async fn a_build_tells_its_output_and_how_it_ended() {
    let harness = Harness::start().await;
    harness.app("example").await;
    let source = harness.post("/sources", json!({})).await.json();
    let path = path_of(&source["source_blob"]["put_url"]);
    let upload = http::Request::builder().method(Method::PUT).uri(&path);
    harness
        .send(upload.body(Body::from("no archive at all")).unwrap())
        .await;
    let body =
        json!({ "source_blob": { "url": source["source_blob"]["get_url"], "version": "abc" } });
    let build = harness.post("/apps/example/builds", body).await;
    assert_eq!(build.status, StatusCode::CREATED, "{build:?}");
    let build = build.json();
    assert_eq!(build["source_blob"]["version"], "abc");
    let stream = path_of(&build["output_stream_url"]);
    let request = http::Request::builder()
        .uri(&stream)
        .body(Body::empty())
        .unwrap();
    let output = harness.send(request).await;
    assert_eq!(output.status, StatusCode::OK);
    assert!(output.text.contains(" !     "), "{}", output.text);
    let path = format!("/apps/example/builds/{}", build["id"].as_str().unwrap());
    let ended = harness
        .until(&path, |build| build["status"] != "pending")
        .await;
    assert_eq!(ended["status"], "failed");
}
