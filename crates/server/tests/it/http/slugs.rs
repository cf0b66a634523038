//! Slugs that a client builds itself: made, uploaded once, released.

use axum::body::{Body, Bytes};
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::harness::{Answer, Harness, path_of};

const SLUGS: &str = "/apps/example/slugs";
const RELEASES: &str = "/apps/example/releases";

/// A plain tar, which is text as long as its files are.
fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content.as_bytes())
            .unwrap();
    }
    tar.into_inner().unwrap()
}

fn checksum(archive: &[u8]) -> String {
    format!("SHA256:{:x}", Sha256::digest(archive))
}

async fn slug(harness: &Harness, mut wish: Value) -> Value {
    wish["process_types"] = json!({ "web": "serve" });
    let made = harness.post(SLUGS, wish).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    made.json()
}

async fn shown(harness: &Harness, slug: &Value) -> Value {
    let path = format!("{SLUGS}/{}", slug["id"].as_str().unwrap());
    harness.get(&path).await.json()
}

/// Uses a blob's URL as clients do: without a token.
async fn send(harness: &Harness, method: Method, blob: &Value, body: impl Into<Body>) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path_of(&blob["url"]))
        .header("content-type", "");
    harness.send(request.body(body.into()).unwrap()).await
}

async fn put(harness: &Harness, slug: &Value, archive: &[u8]) -> Answer {
    send(harness, Method::PUT, &slug["blob"], archive.to_vec()).await
}

async fn release(harness: &Harness, slug: &Value) -> Answer {
    harness.post(RELEASES, json!({ "slug": slug["id"] })).await
}

#[tokio::test]
async fn a_slug_is_made_uploaded_and_released() {
    let harness = Harness::start().await;
    harness.app("example").await;
    let archive = archive(&[("./app/index.html", "hello")]);
    let wish = json!({
        "buildpack_provided_description": "Ruby/Rack",
        "checksum": checksum(&archive),
        "commit": "60883d9e8947a57e04dc9124f25df004866a2051",
        "commit_description": "fixed a bug",
        "stack": "landfall-13",
    });
    let made = slug(&harness, wish.clone()).await;
    assert_eq!(made["blob"]["method"], "PUT");
    assert_eq!(made["process_types"], json!({ "web": "serve" }));
    assert_eq!(made["stack"]["name"], wish["stack"]);
    assert_eq!(made["size"], Value::Null);
    for name in [
        "buildpack_provided_description",
        "checksum",
        "commit",
        "commit_description",
    ] {
        assert_eq!(made[name], wish[name], "{name}");
    }

    let refused = release(&harness, &made).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let message = refused.json()["message"].to_string();
    assert!(message.contains("never uploaded"), "{message}");
    let early = send(&harness, Method::GET, &made["blob"], "").await;
    assert_eq!(early.status, StatusCode::NOT_FOUND);

    assert_eq!(put(&harness, &made, &archive).await.status, StatusCode::OK);
    let read = shown(&harness, &made).await;
    assert_eq!(read["blob"]["method"], "GET");
    assert_eq!(
        (&read["size"], &read["checksum"]),
        (&json!(5), &wish["checksum"])
    );
    for blob in [&made["blob"], &read["blob"]] {
        let whole = send(&harness, Method::GET, blob, "").await;
        assert_eq!(whole.text.as_bytes(), archive);
        assert_eq!(whole.header("content-type"), "application/octet-stream");
    }

    let released = release(&harness, &made).await;
    assert_eq!(released.status, StatusCode::CREATED, "{released:?}");
    assert_eq!(released.json()["description"], "Deploy 60883d9e");
    let path = format!("{RELEASES}/{}", released.json()["version"]);
    let live = harness
        .until(&path, |release| release["status"] != "pending")
        .await;
    assert_eq!(live["status"], "succeeded");
    let app = harness.get("/apps/example").await.json();
    assert_eq!(app["buildpack_provided_description"], "Ruby/Rack");
    let row = harness
        .store
        .slug(made["id"].as_str().unwrap().parse().unwrap())
        .await
        .unwrap();
    assert_eq!(row.layers.len(), 1);
    assert!(row.env["PATH"].contains("/usr/bin"), "{row:?}");
    let layer = harness.platform.settings().layers_dir.join(&row.layers[0]);
    assert_eq!(
        std::fs::read_to_string(layer.join("index.html")).unwrap(),
        "hello"
    );
}

#[tokio::test]
async fn an_archive_comes_once_and_by_the_right_secret() {
    let harness = Harness::start().await;
    harness.app("example").await;
    let made = slug(&harness, json!({})).await;
    assert_eq!(made["buildpack_provided_description"], Value::Null);
    assert_eq!(made["checksum"], Value::Null);
    let first = archive(&[("a", "1")]);
    // Who may only read the slug is not told how to upload it.
    let read = shown(&harness, &made).await;
    assert_eq!(
        put(&harness, &read, &first).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(put(&harness, &made, &first).await.status, StatusCode::OK);
    // A client that did not hear the answer asks again.
    assert_eq!(put(&harness, &made, &first).await.status, StatusCode::OK);
    let other = put(&harness, &made, &archive(&[("a", "2")])).await;
    assert_eq!(other.status, StatusCode::CONFLICT, "{other:?}");
    let read = shown(&harness, &made).await;
    assert_eq!(read["checksum"], checksum(&first));
    let whole = send(&harness, Method::GET, &read["blob"], "").await;
    assert_eq!(whole.text.as_bytes(), first);

    let app = harness.platform.app("example").await.unwrap();
    let events = harness.store.events(app.id, 100).await.unwrap();
    let uploads: Vec<_> = events
        .iter()
        .filter(|event| event.kind == "slug.update")
        .collect();
    assert_eq!(uploads.len(), 1);
    let secret = path_of(&made["blob"]["url"]);
    let secret = secret.rsplit('/').next().unwrap();
    assert!(!format!("{events:?}").contains(secret));
}

#[tokio::test]
async fn two_archives_at_once_do_not_mix() {
    let harness = Harness::start().await;
    harness.app("example").await;
    let made = slug(&harness, json!({})).await;
    let archives: Vec<_> = (0..4).map(|n| archive(&[("a", &n.to_string())])).collect();
    let answers = archives.iter().map(|archive| put(&harness, &made, archive));
    let answers = futures_util::future::join_all(answers).await;
    let count = |status| {
        answers
            .iter()
            .filter(|answer| answer.status == status)
            .count()
    };
    assert_eq!((count(StatusCode::OK), count(StatusCode::CONFLICT)), (1, 3));
    let won = answers
        .iter()
        .position(|answer| answer.status == StatusCode::OK);
    let whole = send(&harness, Method::GET, &made["blob"], "").await;
    assert_eq!(whole.text.as_bytes(), archives[won.unwrap()]);
    assert_eq!(kept(&harness).len(), 1);
}

/// Archives and parts of them that are on disk.
fn kept(harness: &Harness) -> Vec<std::path::PathBuf> {
    let folders = std::fs::read_dir(&harness.platform.settings().sources_dir).unwrap();
    folders
        .flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect()
}

#[tokio::test]
async fn what_cannot_be_a_slug_is_refused_and_leaves_nothing() {
    let harness = Harness::start().await;
    harness.app("example").await;
    for wish in [
        json!({}),
        json!({ "process_types": { "no good": "serve" } }),
        json!({ "process_types": { "web": "" } }),
        json!({ "process_types": { "web": "serve" }, "stack": "heroku-18" }),
        json!({ "process_types": { "web": "serve" }, "checksum": "MD5:1" }),
        json!({ "process_types": { "web": "serve" }, "commit": "\0" }),
    ] {
        let refused = harness.post(SLUGS, wish.clone()).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{wish}");
    }
    let made = slug(&harness, json!({ "checksum": checksum(b"another") })).await;
    let refused = put(&harness, &made, &archive(&[("a", "1")])).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("checksum"), "{}", refused.text);
    let made = slug(&harness, json!({})).await;
    for content in ["", "not an archive"] {
        let refused = put(&harness, &made, content.as_bytes()).await;
        assert_eq!(
            refused.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{refused:?}"
        );
    }
    let torn = futures_util::stream::iter([
        Ok(Bytes::from(archive(&[("a", "1")]))),
        Err(std::io::Error::other("the line is dead")),
    ]);
    let refused = send(
        &harness,
        Method::PUT,
        &made["blob"],
        Body::from_stream(torn),
    )
    .await;
    assert_eq!(
        refused.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{refused:?}"
    );
    assert_eq!(
        release(&harness, &made).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(kept(&harness), Vec::<std::path::PathBuf>::new());
    assert_eq!(
        put(&harness, &made, &archive(&[("a", "1")])).await.status,
        StatusCode::OK
    );
    assert_eq!(kept(&harness).len(), 1);

    let deleted = harness.delete("/apps/example").await;
    assert_eq!(deleted.status, StatusCode::OK, "{deleted:?}");
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while !kept(&harness).is_empty() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "archives outlive their app"
        );
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
