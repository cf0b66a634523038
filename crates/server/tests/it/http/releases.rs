//! Releases: deploy, list the newest, roll back.

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::json;

use super::harness::{Harness, path_of};

#[tokio::test]
async fn releases_are_numbered_listed_and_rolled_back() {
    let harness = Harness::start().await;
    harness.app("example").await;
    let first = harness.deploy("example", &[("web", "serve")]).await;
    assert_eq!(
        (&first["status"], &first["version"]),
        (&json!("succeeded"), &json!(2))
    );
    assert_eq!(first["current"], true);
    harness
        .patch("/apps/example/config-vars", json!({ "A": "1" }))
        .await;
    harness
        .until("/apps/example/releases/3", |release| {
            release["current"] == true
        })
        .await;

    let newest = harness
        .get_range("/apps/example/releases", "version ..; order=desc,max=1")
        .await;
    assert_eq!(newest.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(newest.json()[0]["version"], 3);

    let body = json!({ "release": first["id"] });
    let rollback = harness.post("/apps/example/releases", body).await;
    assert_eq!(rollback.status, StatusCode::CREATED);
    assert_eq!(rollback.json()["description"], "Rollback to v2");
    harness
        .until("/apps/example/releases/4", |release| {
            release["current"] == true
        })
        .await;
    assert_eq!(
        harness.get("/apps/example/config-vars").await.json(),
        json!({})
    );
    assert_eq!(
        harness.get("/apps/example/releases/v9").await.json()["resource"],
        "release"
    );
    let nothing = harness.post("/apps/example/releases", json!({})).await;
    assert_eq!(nothing.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_slug_shows_what_was_built() {
    let harness = Harness::start().await;
    harness.app("example").await;
    let slug = harness.slug("example", &[("web", "serve")]).await;
    let shown = harness
        .get(&format!("/apps/example/slugs/{}", slug.id))
        .await
        .json();
    assert_eq!(shown["process_types"], json!({ "web": "serve" }));
    assert_eq!(shown["buildpack_provided_description"], "Python");
    harness.app("other").await;
    let elsewhere = harness.get(&format!("/apps/other/slugs/{}", slug.id)).await;
    assert_eq!(elsewhere.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_output_of_a_release_phase_is_waited_for_and_followed() {
    let harness = Harness::start().await;
    harness.app("example").await;
    let types = [
        ("web", "serve"),
        ("release", "sleep 0.1; print migrating; exit 0"),
    ];
    let slug = harness.slug("example", &types).await;
    let release = harness
        .post("/apps/example/releases", json!({ "slug": slug.id }))
        .await
        .json();
    assert_eq!(release["status"], "pending");
    let path = path_of(&release["output_stream_url"]);
    let request = Request::get(&path).body(Body::empty()).unwrap();
    assert_eq!(harness.send(request).await.text, "migrating\n");
    let events = |last: &str| {
        let request = Request::get(&path).header("accept", "text/event-stream");
        request
            .header("last-event-id", last)
            .body(Body::empty())
            .unwrap()
    };
    let all = harness.send(events("0")).await.text;
    assert!(all.ends_with("id: 10\ndata: migrating\n\n"), "{all}");
    let rest = harness.send(events("10")).await.text;
    assert!(!rest.contains("data:"), "{rest}");
}

#[tokio::test]
async fn every_read_of_config_vars_is_recorded_without_values() {
    let harness = Harness::start().await;
    let app = harness.app("example").await["id"].as_str().unwrap().parse();
    let app: api::ids::AppId = app.unwrap();
    let path = "/apps/example/config-vars";
    let vars = json!({ "DATABASE_URL": "value-that-stays-secret" });
    harness.patch(path, vars.clone()).await;
    assert_eq!(harness.get(path).await.json(), vars);
    let of_release = "/apps/example/releases/2/config-vars";
    assert_eq!(harness.get(of_release).await.json(), vars);
    // An update of nothing answers with everything as well.
    assert_eq!(harness.patch(path, json!({})).await.json(), vars);

    let release = harness.get("/apps/example/releases/2").await.json();
    let mut events = harness.store.events(app, 100).await.unwrap();
    events.reverse();
    let whole = format!("{events:?}");
    assert!(!whole.contains("value-that-stays-secret"), "{whole}");
    events.retain(|event| event.kind == "config-vars.read");
    let told: Vec<_> = events
        .iter()
        .map(|event| (event.cause.as_str(), event.subject.clone()))
        .collect();
    let of_app = |cause| (cause, app.to_string());
    assert_eq!(
        told,
        [
            of_app("PATCH /apps/example/config-vars"),
            of_app("GET /apps/example/config-vars"),
            (
                "GET /apps/example/releases/2/config-vars",
                release["id"].as_str().unwrap().to_owned()
            ),
            of_app("PATCH /apps/example/config-vars"),
        ]
    );
    for event in events {
        assert_eq!(event.details, json!({ "names": ["DATABASE_URL"] }));
        assert_eq!(event.actor, store::Actor::Account(harness.account));
    }
}
