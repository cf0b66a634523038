//! `/apps/{app}/edge`: what may be set, by whom, and what is shown of it.

use http::StatusCode;
use serde_json::json;

use super::harness::Harness;

#[tokio::test]
async fn edge_settings_change_by_name_and_show_no_password() {
    let harness = Harness::start().await;
    harness.app("example").await;
    harness.app("other").await;
    let path = "/apps/example/edge";
    assert_eq!(harness.get(path).await.json(), json!({}));
    let update = json!({
        "basic_auth": { "users": [{ "name": "ann", "password": "correct horse" }] },
        "paths": [{ "prefix": "/api", "app": "other" }],
    });
    let updated = harness.patch(path, update).await;
    assert_eq!(updated.status, StatusCode::OK, "{updated:?}");
    let expected = json!({
        "basic_auth": { "users": [{ "name": "ann" }] },
        "paths": [{ "prefix": "/api", "app": "other", "strip": false }],
    });
    assert_eq!(updated.json(), expected);
    assert_eq!(harness.get(path).await.json(), expected);
    let wrong = harness.patch(path, json!({ "max_body_bites": 5 })).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let unknown = json!({ "paths": [{ "prefix": "/api", "app": "none" }] });
    let unknown = harness.patch(path, unknown).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let renamed = harness
        .patch("/apps/other", json!({ "name": "another" }))
        .await;
    assert_eq!(renamed.status, StatusCode::OK, "{renamed:?}");
    let followed = harness.get(path).await.json();
    assert_eq!(followed["paths"][0]["app"], "another");
    let off = json!({ "basic_auth": null, "paths": null });
    assert_eq!(harness.patch(path, off).await.json(), json!({}));
}
