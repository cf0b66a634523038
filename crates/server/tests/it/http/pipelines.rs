//! Pipelines as `heroku pipelines` uses them.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::harness::{Harness, bearer};

const STRANGER: &str = "token-of-a-stranger-0123456789abcdef";

/// `staging` and `production` in a pipeline; its id.
async fn pipeline(harness: &Harness) -> Value {
    let made = harness.post("/pipelines", json!({ "name": "pipe" })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let id = made.json()["id"].clone();
    for app in ["staging", "production"] {
        harness.app(app).await;
        let new = json!({ "app": app, "pipeline": id, "stage": app });
        let coupled = harness.post("/pipeline-couplings", new).await;
        assert_eq!(coupled.status, StatusCode::CREATED, "{coupled:?}");
    }
    id
}

async fn promotion(
    harness: &Harness,
    pipeline: &Value,
    targets: &[&str],
) -> super::harness::Answer {
    let id = |app: String| async move { harness.get(&app).await.json()["id"].clone() };
    let source = id("/apps/staging".to_owned()).await;
    let mut to = Vec::new();
    for target in targets {
        to.push(json!({ "app": { "id": id(format!("/apps/{target}")).await } }));
    }
    let body = json!({
        "pipeline": { "id": pipeline }, "source": { "app": { "id": source } }, "targets": to,
    });
    harness.post("/pipeline-promotions", body).await
}

#[tokio::test]
async fn a_promotion_releases_the_same_slug_with_the_targets_own_config() {
    let harness = Harness::start().await;
    let id = pipeline(&harness).await;
    let vars = json!({ "WHERE": "production" });
    harness.patch("/apps/production/config-vars", vars).await;
    let nothing = promotion(&harness, &id, &["production"]).await;
    assert_eq!(
        nothing.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{nothing:?}"
    );
    let types = [("web", "serve"), ("release", "exit 0")];
    let live = harness.deploy("staging", &types).await;
    let made = promotion(&harness, &id, &["production"]).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let path = format!(
        "/pipeline-promotions/{}",
        made.json()["id"].as_str().unwrap()
    );
    harness
        .until(&path, |promotion| promotion["status"] == "completed")
        .await;
    let targets = harness
        .get(&format!("{path}/promotion-targets"))
        .await
        .json();
    assert_eq!(targets[0]["status"], "succeeded", "{targets}");
    let release = targets[0]["release"]["id"].as_str().unwrap();
    let release = harness
        .get(&format!("/apps/production/releases/{release}"))
        .await
        .json();
    assert_eq!(
        (&release["current"], &release["version"]),
        (&json!(true), &json!(3))
    );
    let version = &live["version"];
    assert_eq!(
        release["description"],
        format!("Promote staging v{version} 3f2a1b9c")
    );
    assert!(
        release["output_stream_url"].is_string(),
        "its release phase ran: {release}"
    );
    let slug = |app: &str, release: &Value| {
        let slug = release["slug"]["id"].as_str().unwrap();
        format!("/apps/{app}/slugs/{slug}")
    };
    let from = harness.get(&slug("staging", &live)).await.json();
    let to = harness.get(&slug("production", &release)).await.json();
    assert_ne!(from["id"], to["id"]);
    assert_eq!(
        (&from["commit"], &from["process_types"]),
        (&to["commit"], &to["process_types"])
    );
    let vars = harness.get("/apps/production/config-vars").await.json();
    assert_eq!(vars, json!({ "WHERE": "production" }));
}

#[tokio::test]
async fn a_failed_release_phase_fails_its_target_alone() {
    let harness = Harness::start().await;
    let id = pipeline(&harness).await;
    harness.deploy("staging", &[("web", "serve")]).await;
    harness.app("elsewhere").await;
    for targets in [&["elsewhere"][..], &["staging"], &[]] {
        let refused = promotion(&harness, &id, targets).await;
        assert_eq!(
            refused.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{refused:?}"
        );
    }
    let coupled = json!({ "app": "elsewhere", "pipeline": id, "stage": "production" });
    harness.post("/pipeline-couplings", coupled).await;
    let again = json!({ "app": "elsewhere", "pipeline": id, "stage": "review" });
    let again = harness.post("/pipeline-couplings", again).await;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
    let made = promotion(&harness, &id, &["production", "elsewhere"])
        .await
        .json();
    let path = format!(
        "/pipeline-promotions/{}/promotion-targets",
        made["id"].as_str().unwrap()
    );
    let settled = |targets: &Value| {
        let targets = targets.as_array().unwrap();
        targets.len() == 2 && targets.iter().all(|target| target["status"] == "succeeded")
    };
    harness.until(&path, settled).await;
}

#[tokio::test]
async fn only_who_works_on_an_app_of_it_knows_a_pipeline() {
    let harness = Harness::start().await;
    let id = pipeline(&harness).await;
    let id = id.as_str().unwrap();
    let made = harness
        .platform
        .ensure_account("stranger@example.com", STRANGER);
    made.await.unwrap();
    let ask = |method: Method, path: String| {
        let request = Harness::request(method, &path, "").header("authorization", bearer(STRANGER));
        harness.send(request.body(axum::body::Body::empty()).unwrap())
    };
    let one = format!("/pipelines/{id}");
    assert_eq!(
        ask(Method::GET, one.clone()).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        ask(Method::GET, "/pipelines".to_owned()).await.json(),
        json!([])
    );
    let couplings = format!("{one}/pipeline-couplings");
    assert_eq!(
        ask(Method::GET, couplings.clone()).await.status,
        StatusCode::NOT_FOUND
    );
    let coupling = harness.get("/apps/staging/pipeline-couplings").await.json();
    let coupling = format!("/pipeline-couplings/{}", coupling["id"].as_str().unwrap());
    assert_eq!(
        ask(Method::DELETE, coupling.clone()).await.status,
        StatusCode::NOT_FOUND
    );
    let new = json!({ "user": "stranger@example.com" });
    harness.post("/apps/staging/collaborators", new).await;
    assert_eq!(ask(Method::GET, one.clone()).await.status, StatusCode::OK);
    assert_eq!(
        ask(Method::GET, couplings)
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        ask(Method::DELETE, one.clone()).await.status,
        StatusCode::FORBIDDEN
    );
    // Apps of it that one does not work on are not told of.
    let releases = ask(Method::GET, format!("{one}/latest-releases"))
        .await
        .json();
    assert_eq!(releases.as_array().unwrap().len(), 1, "{releases}");
    assert_eq!(releases[0]["app"]["name"], "staging");
    let found = harness.get("/pipelines?eq[name]=pipe").await.json();
    assert_eq!(found[0]["id"], id);
    assert_eq!(
        harness.get("/pipelines?eq[name]=other").await.json(),
        json!([])
    );
    assert_eq!(harness.get("/pipelines/pipe").await.json()["id"], id);
    assert_eq!(harness.delete(&one).await.status, StatusCode::OK);
    assert_eq!(harness.get("/apps/staging").await.status, StatusCode::OK);
}
