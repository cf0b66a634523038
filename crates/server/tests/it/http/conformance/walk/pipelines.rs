//! Pipelines, the apps in them, promotions.

use serde_json::{Value, json};

use crate::http::conformance::run::Run;

pub(super) async fn all(run: &mut Run<'_>) {
    let account = run.harness.account;
    let owner = json!({ "id": account, "type": "user" });
    let new = json!({ "name": "conforming", "owner": owner });
    let pipeline = run.send("pipeline POST /pipelines", new).await;
    run.call("pipeline GET /pipelines").await;
    run.call("pipeline GET /pipelines/{pipeline}").await;
    let name = json!({ "name": "conformed" });
    run.send("pipeline PATCH /pipelines/{pipeline}", name).await;
    let transfer = json!({ "pipeline": { "id": pipeline["id"] }, "new_owner": owner });
    run.send("pipeline-transfer POST /pipeline-transfers", transfer)
        .await;
    couple(run, &pipeline["id"]).await;
    promote(run, &pipeline["id"]).await;
    for what in ["build", "release", "deployment"] {
        run.call(&format!(
            "pipeline-{what} GET /pipelines/{{pipeline}}/latest-{what}s"
        ))
        .await;
    }
    run.call("pipeline-stack GET /pipelines/{pipeline}/pipeline-stack")
        .await;
    run.call("pipeline-coupling DELETE /pipeline-couplings/{pipeline-coupling}")
        .await;
    run.call("pipeline DELETE /pipelines/{pipeline}").await;
}

async fn couple(run: &mut Run<'_>, pipeline: &Value) {
    run.harness.app("onwards").await;
    let new = json!({ "app": "onwards", "pipeline": pipeline, "stage": "production" });
    run.harness.post("/pipeline-couplings", new).await;
    let new = json!({ "app": "example", "pipeline": pipeline, "stage": "development" });
    run.send("pipeline-coupling POST /pipeline-couplings", new)
        .await;
    let stage = json!({ "stage": "staging" });
    let one = "/pipeline-couplings/{pipeline-coupling}";
    run.send(&format!("pipeline-coupling PATCH {one}"), stage)
        .await;
    run.call(&format!("pipeline-coupling GET {one}")).await;
    for of in ["/pipelines/{pipeline}", "/apps/{app}", "/users/~", ""] {
        run.call(&format!("pipeline-coupling GET {of}/pipeline-couplings"))
            .await;
    }
}

async fn promote(run: &mut Run<'_>, pipeline: &Value) {
    let source = run.harness.get("/apps/example").await.json();
    let target = run.harness.get("/apps/onwards").await.json();
    let new = json!({
        "pipeline": { "id": pipeline },
        "source": { "app": { "id": source["id"] } },
        "targets": [{ "app": { "id": target["id"] } }],
    });
    let made = run
        .send("pipeline-promotion POST /pipeline-promotions", new)
        .await;
    let one = "/pipeline-promotions/{pipeline-promotion}";
    let path = format!("/pipeline-promotions/{}", made["id"].as_str().unwrap_or(""));
    run.harness
        .until(&path, |promotion| promotion["status"] == "completed")
        .await;
    run.call(&format!("pipeline-promotion GET {one}")).await;
    let targets = run
        .call(&format!(
            "pipeline-promotion-target GET {one}/promotion-targets"
        ))
        .await;
    assert_eq!(targets[0]["status"], "succeeded", "{targets}");
}
