//! The registry: pushes as Docker makes them, pulls, and what is refused.

use std::{collections::BTreeMap, io::Read as _};

use axum::body::Body;
use builder::image::Digest;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::harness::{Answer, Harness, TOKEN, basic};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Asks as Docker does: with a token as the password.
async fn ask(harness: &Harness, method: Method, path: &str, body: impl Into<Body>) -> Answer {
    with(harness, (method, path), &[], body).await
}

async fn with(
    harness: &Harness,
    (method, path): (Method, &str),
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", basic("_", TOKEN));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    harness.send(request.body(body.into()).unwrap()).await
}

/// Pushes a blob in two chunks and a rest; its digest.
async fn push_blob(harness: &Harness, repository: &str, content: &str) -> String {
    let begun = ask(
        harness,
        Method::POST,
        &format!("/v2/{repository}/blobs/uploads/"),
        "",
    )
    .await;
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{begun:?}");
    let (first, rest) = content.split_at(content.len() / 2);
    let place = begun.header("location").to_owned();
    let sent = ask(harness, Method::PATCH, &place, first.to_owned()).await;
    assert_eq!(sent.status, StatusCode::ACCEPTED, "{sent:?}");
    assert_eq!(sent.header("range"), format!("0-{}", first.len() - 1));
    let digest = Digest::of(content.as_bytes()).to_string();
    let end = format!("{place}?digest={digest}");
    let ended = ask(harness, Method::PUT, &end, rest.to_owned()).await;
    assert_eq!(ended.status, StatusCode::CREATED, "{ended:?}");
    assert_eq!(ended.header("docker-content-digest"), digest);
    digest
}

fn manifest(config: &str, layer: &str) -> Value {
    let blob = |digest: &str| json!({ "mediaType": "x", "digest": digest, "size": 1 });
    json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": blob(config), "layers": [blob(layer)] })
}

async fn put_manifest(harness: &Harness, place: &str, manifest: &Value) -> Answer {
    let headers = [("content-type", MANIFEST)];
    let path = format!("/v2/{place}");
    with(
        harness,
        (Method::PUT, &path),
        &headers,
        manifest.to_string(),
    )
    .await
}

/// Pushes an image of two blobs to `shop/web:latest`; its manifest.
async fn push_image(harness: &Harness) -> Value {
    let config = push_blob(harness, "shop/web", r#"{"config":{}}"#).await;
    let layer = push_blob(harness, "shop/web", "a layer").await;
    let manifest = manifest(&config, &layer);
    let put = put_manifest(harness, "shop/web/manifests/latest", &manifest).await;
    assert_eq!(put.status, StatusCode::CREATED, "{put:?}");
    manifest
}

fn code(answer: &Answer) -> String {
    answer.json()["errors"][0]["code"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn an_image_is_pushed_and_pulled() {
    let harness = Harness::start().await;
    harness.app("shop").await;
    let version = ask(&harness, Method::GET, "/v2/", "").await;
    assert_eq!(version.status, StatusCode::OK);
    assert_eq!(
        version.header("docker-distribution-api-version"),
        "registry/2.0"
    );
    let manifest = push_image(&harness).await;
    let digest = Digest::of(manifest.to_string().as_bytes()).to_string();
    for name in ["latest", &digest] {
        let path = format!("/v2/shop/web/manifests/{name}");
        let pulled = ask(&harness, Method::GET, &path, "").await;
        assert_eq!(pulled.text, manifest.to_string());
        assert_eq!(pulled.header("content-type"), MANIFEST);
        assert_eq!(pulled.header("docker-content-digest"), digest);
        let head = ask(&harness, Method::HEAD, &path, "").await;
        assert_eq!((head.status, head.text.as_str()), (StatusCode::OK, ""));
        assert_eq!(
            head.header("content-length"),
            manifest.to_string().len().to_string()
        );
    }
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    let path = format!("/v2/shop/web/blobs/{layer}");
    assert_eq!(ask(&harness, Method::GET, &path, "").await.text, "a layer");
    let tags = ask(&harness, Method::GET, "/v2/shop/web/tags/list", "").await;
    assert_eq!(
        tags.json(),
        json!({ "name": "shop/web", "tags": ["latest"] })
    );
}

#[tokio::test]
async fn what_is_attached_to_an_image_is_found() {
    let harness = Harness::start().await;
    harness.app("shop").await;
    let image = push_image(&harness).await.to_string();
    let subject = Digest::of(image.as_bytes()).to_string();
    let empty = push_blob(&harness, "shop/web", "{}").await;
    let list = push_blob(&harness, "shop/web", "[\"what it is made of\"]").await;
    let mut attached = manifest(&empty, &list);
    attached["artifactType"] = json!("application/vnd.cyclonedx+json");
    attached["subject"] = json!({ "mediaType": MANIFEST, "digest": subject, "size": image.len() });
    let digest = Digest::of(attached.to_string().as_bytes()).to_string();
    let place = format!("shop/web/manifests/{digest}");
    let put = put_manifest(&harness, &place, &attached).await;
    assert_eq!(put.header("oci-subject"), subject, "{put:?}");
    let path = format!("/v2/shop/web/referrers/{subject}");
    let found = ask(&harness, Method::GET, &path, "").await;
    assert_eq!(
        found.header("content-type"),
        "application/vnd.oci.image.index.v1+json"
    );
    assert_eq!(found.json()["manifests"][0]["digest"], digest);
    assert_eq!(
        found.json()["manifests"][0]["artifactType"],
        "application/vnd.cyclonedx+json"
    );
}

#[tokio::test]
async fn blobs_belong_to_apps() {
    let harness = Harness::start().await;
    for app in ["shop", "other"] {
        harness.app(app).await;
    }
    let digest = push_blob(&harness, "shop/web", "a secret").await;
    let path = format!("/v2/other/web/blobs/{digest}");
    let unknown = ask(&harness, Method::GET, &path, "").await;
    assert_eq!(
        (unknown.status, code(&unknown)),
        (StatusCode::NOT_FOUND, "BLOB_UNKNOWN".to_owned())
    );
    let named = put_manifest(
        &harness,
        "other/web/manifests/latest",
        &manifest(&digest, &digest),
    )
    .await;
    assert_eq!(code(&named), "MANIFEST_BLOB_UNKNOWN");
    let mount = format!("/v2/other/web/blobs/uploads/?mount={digest}&from=shop/web");
    let mounted = ask(&harness, Method::POST, &mount, "").await;
    assert_eq!(mounted.status, StatusCode::CREATED, "{mounted:?}");
    assert_eq!(ask(&harness, Method::GET, &path, "").await.text, "a secret");
    // From an app that is not there, an upload begins instead.
    let mount = format!("/v2/other/web/blobs/uploads/?mount={digest}&from=nobodys/web");
    let begun = ask(&harness, Method::POST, &mount, "").await;
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{begun:?}");
}

#[tokio::test]
async fn what_is_not_as_it_says_is_refused() {
    let harness = Harness::start().await;
    harness.app("shop").await;
    let without = Request::get("/v2/").body(Body::empty()).unwrap();
    let refused = harness.send(without).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert!(refused.header("www-authenticate").starts_with("Basic "));

    let wrong = Digest::of(b"something else").to_string();
    let path = format!("/v2/shop/web/blobs/uploads/?digest={wrong}");
    let refused = ask(&harness, Method::POST, &path, "content").await;
    assert_eq!(
        (refused.status, code(&refused)),
        (StatusCode::BAD_REQUEST, "DIGEST_INVALID".to_owned())
    );
    let whole = Digest::of(b"content").to_string();
    let path = format!("/v2/shop/web/blobs/uploads/?digest={whole}");
    let taken = ask(&harness, Method::POST, &path, "content").await;
    assert_eq!(taken.status, StatusCode::CREATED, "{taken:?}");

    let begun = ask(&harness, Method::POST, "/v2/shop/web/blobs/uploads/", "").await;
    let place = begun.header("location");
    let elsewhere = with(
        &harness,
        (Method::PATCH, place),
        &[("content-range", "7-9")],
        "x",
    )
    .await;
    assert_eq!(
        elsewhere.status,
        StatusCode::RANGE_NOT_SATISFIABLE,
        "{elsewhere:?}"
    );
    assert_eq!(
        ask(&harness, Method::DELETE, place, "").await.status,
        StatusCode::NO_CONTENT
    );
    let gone = ask(&harness, Method::PATCH, place, "x").await;
    assert_eq!(
        (gone.status, code(&gone)),
        (StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN".to_owned())
    );
    let hostile = ask(
        &harness,
        Method::GET,
        "/v2/shop/web/blobs/uploads/..%2f..%2fx",
        "",
    )
    .await;
    assert_eq!(hostile.status, StatusCode::NOT_FOUND, "{hostile:?}");
}

#[tokio::test]
async fn manifests_that_are_not_what_they_say_are_refused() {
    let harness = Harness::start().await;
    harness.app("shop").await;
    let wrong = Digest::of(b"something else").to_string();
    let unknown = ask(&harness, Method::GET, "/v2/shop/web/manifests/nothing", "").await;
    assert_eq!(
        (unknown.status, code(&unknown)),
        (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN".to_owned())
    );
    let image = push_image(&harness).await;
    let place = format!("shop/web/manifests/{wrong}");
    assert_eq!(
        code(&put_manifest(&harness, &place, &image).await),
        "DIGEST_INVALID"
    );
    let none = put_manifest(&harness, "shop/web/manifests/latest", &json!([])).await;
    assert_eq!(code(&none), "MANIFEST_INVALID");
    let removed = ask(
        &harness,
        Method::DELETE,
        "/v2/shop/web/manifests/latest",
        "",
    )
    .await;
    assert_eq!(removed.status, StatusCode::ACCEPTED, "{removed:?}");
    let tags = ask(&harness, Method::GET, "/v2/shop/web/tags/list", "").await;
    assert_eq!(tags.json()["tags"], json!([]));
}

#[tokio::test]
async fn only_who_works_on_an_app_pushes_and_pulls() {
    let harness = Harness::start().await;
    harness.app("shop").await;
    push_image(&harness).await;
    let stranger = "token-of-somebody-else-0123456789";
    harness
        .platform
        .ensure_account("stranger@example.com", stranger)
        .await
        .unwrap();
    for (method, path) in [
        (Method::GET, "/v2/shop/web/manifests/latest"),
        (Method::POST, "/v2/shop/web/blobs/uploads/"),
        (Method::GET, "/v2/shop/web/tags/list"),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", basic("_", stranger));
        let refused = harness.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{path} {refused:?}");
    }
}

#[tokio::test]
async fn blobs_that_nothing_is_made_of_are_collected_in_time() {
    let harness = Harness::start().await;
    harness.app("shop").await;
    push_image(&harness).await;
    let digest = push_blob(
        &harness,
        "shop/web",
        "pushed just now, for a manifest to come",
    )
    .await;
    harness.platform.collect_images().await.unwrap();
    let path = format!("/v2/shop/web/blobs/{digest}");
    let kept = ask(&harness, Method::GET, &path, "").await;
    assert_eq!(kept.status, StatusCode::OK, "{kept:?}");
}

#[tokio::test]
async fn the_image_of_a_release_is_pulled_and_carried_away() {
    let harness = Harness::start().await;
    harness.stack();
    harness.app("shop").await;
    let early = ask(&harness, Method::GET, "/v2/shop/web/manifests/latest", "").await;
    assert_eq!(code(&early), "MANIFEST_UNKNOWN");
    let release = harness
        .deploy("shop", &[("web", "serve"), ("worker", "work")])
        .await;
    let absent = harness.get("/apps/shop/images/current").await.json();
    assert_eq!(
        (&absent["state"], &absent["digest"]),
        (&json!("absent"), &Value::Null)
    );

    let pulled = ask(&harness, Method::GET, "/v2/shop/web/manifests/latest", "").await;
    assert_eq!(pulled.status, StatusCode::OK, "{pulled:?}");
    let digest = pulled.header("docker-content-digest");
    let config = pulled.json()["config"]["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    let config = ask(
        &harness,
        Method::GET,
        &format!("/v2/shop/web/blobs/{config}"),
        "",
    )
    .await;
    assert_eq!(config.json()["config"]["Cmd"], json!(["web"]));
    let path = format!("/v2/shop/web/referrers/{digest}");
    let attached = ask(&harness, Method::GET, &path, "").await.json();
    assert_eq!(attached["manifests"].as_array().unwrap().len(), 2);
    let other = ask(
        &harness,
        Method::GET,
        "/v2/shop/nothing/manifests/latest",
        "",
    )
    .await;
    assert_eq!(code(&other), "MANIFEST_UNKNOWN");

    let path = format!("/apps/shop/images/v{}", release["version"]);
    let ready = harness.get(&path).await.json();
    assert_eq!(
        (&ready["state"], &ready["digest"]),
        (&json!("ready"), &json!(digest))
    );
    let again = harness.post("/apps/shop/images/current", json!({})).await;
    assert_eq!(
        (again.status, &again.json()["state"]),
        (StatusCode::ACCEPTED, &json!("ready"))
    );
    let files = archive(&harness).await;
    let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
    assert_eq!(index["manifests"][0]["digest"], digest);
    assert!(files.contains_key("manifest.json"));
}

/// Path → content of the archive of the image of the live release.
async fn archive(harness: &Harness) -> BTreeMap<String, Vec<u8>> {
    let request = Harness::request(Method::GET, "/apps/shop/images/current/archive", TOKEN);
    let request = request.body(Body::empty()).unwrap();
    let response = harness.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/x-tar");
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let mut tar = tar::Archive::new(&bytes[..]);
    let files = tar.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (path, content)
    });
    files.collect()
}

/// Pushes an image of one layer that can be run, for a process type of `shop`; its id.
async fn push_runnable(harness: &Harness, process_type: &str, run: Value) -> String {
    let repository = format!("shop/{process_type}");
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(2);
    header.set_mode(0o4755);
    tar.append_data(&mut header, "bin/server", &b"#!"[..])
        .unwrap();
    let tar = String::from_utf8(tar.into_inner().unwrap()).unwrap();
    let machine = builder::image::documents::Machine::own();
    let config = json!({ "os": "linux", "architecture": machine.architecture, "config": run,
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(tar.as_bytes())] } });
    let config = push_blob(harness, &repository, &config.to_string()).await;
    let layer = push_blob(harness, &repository, &tar).await;
    let mut manifest = manifest(&config, &layer);
    manifest["layers"][0]["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar");
    let place = format!("{repository}/manifests/latest");
    let put = put_manifest(harness, &place, &manifest).await;
    assert_eq!(put.status, StatusCode::CREATED, "{put:?}");
    config
}

async fn release(harness: &Harness, updates: Value) -> Answer {
    let updates = json!({ "updates": updates });
    harness.patch("/apps/shop/formation", updates).await
}

#[tokio::test]
async fn pushed_images_are_released_and_taken_away() {
    let harness = Harness::start().await;
    harness.app("shop").await;
    let command = json!(["serve", "$PORT"]);
    let web = push_runnable(&harness, "web", json!({ "Cmd": command, "Env": ["A=1"] })).await;
    let released = release(&harness, json!([{ "type": "web", "docker_image": web }])).await;
    assert_eq!(released.status, StatusCode::OK, "{released:?}");
    assert_eq!(released.json()[0]["command"], "serve $PORT");
    let live = |release: &Value| release["status"] == "succeeded";
    let first = harness.until("/apps/shop/releases/2", live).await;
    let id = web.get(7..19).unwrap();
    assert_eq!(first["description"], format!("Deployed web ({id})"));
    let slug = format!("/apps/shop/slugs/{}", first["slug"]["id"].as_str().unwrap());
    let slug = harness.get(&slug).await.json();
    assert_eq!(slug["stack"]["name"], "container");
    assert_eq!(
        harness.get("/apps/shop").await.json()["stack"]["name"],
        "container"
    );

    let worker = push_runnable(&harness, "worker", json!({ "Entrypoint": ["work"] })).await;
    let one = json!({ "docker_image": worker });
    let released = harness.patch("/apps/shop/formation/worker", one).await;
    assert_eq!(released.status, StatusCode::OK, "{released:?}");
    harness.until("/apps/shop/releases/3", live).await;
    let formation = harness.get("/apps/shop/formation").await.json();
    let types: Vec<&Value> = formation
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["type"])
        .collect();
    assert_eq!(types, ["web", "worker"], "the other image stays");

    let gone = json!({ "docker_image": null });
    let removed = harness.patch("/apps/shop/formation/web", gone).await;
    assert_eq!(removed.status, StatusCode::OK, "{removed:?}");
    let last = harness.until("/apps/shop/releases/4", live).await;
    assert_eq!(last["description"], "Removed web");
    let formation = harness.get("/apps/shop/formation").await.json();
    assert_eq!(formation[0]["type"], "worker");
}

async fn check_not_released(harness: &Harness, updates: Value, (status, reason): (u16, &str)) {
    let refused = release(harness, updates.clone()).await;
    assert_eq!(refused.status.as_u16(), status, "{updates}: {refused:?}");
    assert!(refused.text.contains(reason), "{updates}: {}", refused.text);
}

#[tokio::test]
async fn what_is_no_image_of_the_process_type_is_not_released() {
    let harness = Harness::start().await;
    harness.app("shop").await;
    let web = push_runnable(&harness, "web", json!({ "Cmd": ["serve"] })).await;
    let idle = push_runnable(&harness, "idle", json!({})).await;
    let broken = push_image(&harness).await;
    let broken = broken["config"]["digest"].clone();
    let unknown = Digest::of(b"an image").to_string();
    for (updates, expected) in [
        (
            json!([{ "type": "web", "docker_image": unknown }]),
            (422, "No image"),
        ),
        (
            json!([{ "type": "worker", "docker_image": web }]),
            (422, "was pushed to shop/worker"),
        ),
        (
            json!([{ "type": "web", "docker_image": "../../etc" }]),
            (422, "No image"),
        ),
        (
            json!([{ "type": "idle", "docker_image": idle }]),
            (422, "neither CMD nor ENTRYPOINT"),
        ),
        (
            json!([{ "type": "web", "docker_image": broken }]),
            (422, "not an image"),
        ),
        (
            json!([{ "type": "web", "docker_image": null }]),
            (404, "process type"),
        ),
        (
            json!([{ "type": "a b", "docker_image": web }]),
            (422, "rocess type"),
        ),
        (
            json!([{ "type": "web", "docker_image": web, "quantity": 2 }]),
            (422, "a request each"),
        ),
    ] {
        check_not_released(&harness, updates, expected).await;
    }
    let releases = harness.get("/apps/shop/releases").await.json();
    assert_eq!(releases.as_array().unwrap().len(), 1);
}
