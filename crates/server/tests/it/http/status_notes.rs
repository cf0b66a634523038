//! `/status/notes`: who may say something on the status page, and what.

use http::StatusCode;
use serde_json::json;

use super::harness::Harness;

#[tokio::test]
async fn the_operator_writes_changes_and_takes_back() {
    let harness = Harness::start().await;
    let app = harness.app("example").await;
    let new = json!({ "text": "Disks are replaced", "severity": "maintenance", "app": "example",
        "until": "2099-01-01T00:00:00Z" });
    let written = harness.post("/status/notes", new).await;
    assert_eq!(written.status, StatusCode::CREATED, "{written:?}");
    let written = written.json();
    assert_eq!(
        written["app"],
        json!({ "id": app["id"], "name": "example" })
    );
    assert_eq!(harness.get("/status/notes").await.json(), json!([written]));
    let path = format!("/status/notes/{}", written["id"].as_str().unwrap());
    let update = json!({ "text": "Done", "severity": "info", "until": null });
    let changed = harness.patch(&path, update).await.json();
    assert_eq!(changed["text"], "Done");
    assert_eq!(
        (&changed["severity"], &changed["until"]),
        (&json!("info"), &json!(null))
    );
    let gone = harness.delete(&path).await;
    assert_eq!(gone.status, StatusCode::OK);
    assert_eq!(harness.delete(&path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(harness.get("/status/notes").await.json(), json!([]));
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let harness = Harness::start().await;
    for (new, message) in [
        (
            json!({ "text": "" }),
            "The text of a note has 1 to 2000 letters, not 0.",
        ),
        (
            json!({ "text": "a", "until": "2001-01-01T00:00:00Z" }),
            "2001-01-01T00:00:00Z is past.",
        ),
    ] {
        let refused = harness.post("/status/notes", new).await;
        assert_eq!(
            refused.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{refused:?}"
        );
        assert_eq!(refused.json()["message"], message);
    }
    let unknown = json!({ "text": "a", "app": "none-such" });
    let unknown = harness.post("/status/notes", unknown).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn names_that_the_platform_needs_itself_are_no_apps() {
    let harness = Harness::start().await;
    for name in ["status", "api", "git", "dashboard"] {
        let refused = harness.post("/apps", json!({ "name": name })).await;
        assert_eq!(
            refused.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{refused:?}"
        );
    }
    harness.app("example").await;
    let renamed = harness
        .patch("/apps/example", json!({ "name": "status" }))
        .await;
    assert_eq!(
        renamed.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{renamed:?}"
    );
    let domain = json!({ "hostname": "status.localhost", "sni_endpoint": null });
    let domain = harness.post("/apps/example/domains", domain).await;
    assert_eq!(
        domain.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{domain:?}"
    );
}
