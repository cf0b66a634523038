//! Teams, and who may do what in them.

use http::StatusCode;
use serde_json::json;

use super::harness::Harness;

#[tokio::test]
async fn a_team_is_made_renamed_and_removed() {
    let harness = Harness::start().await;
    let made = harness.post("/teams", json!({ "name": "acme" })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.json()["role"], "admin");
    let again = harness.post("/teams", json!({ "name": "acme" })).await;
    assert_eq!(again.json()["message"], "Name is already taken");
    let list = harness.get("/teams").await.json();
    assert_eq!(list, json!([made.json()]));
    let renamed = harness
        .patch("/teams/acme", json!({ "name": "acme-two" }))
        .await;
    assert_eq!(renamed.json()["name"], "acme-two");
    assert_eq!(
        harness.get("/teams/acme").await.status,
        StatusCode::NOT_FOUND
    );
    let path = format!("/teams/{}", made.json()["id"].as_str().unwrap());
    assert_eq!(harness.delete(&path).await.status, StatusCode::OK);
    assert_eq!(harness.get("/teams").await.json(), json!([]));
}
