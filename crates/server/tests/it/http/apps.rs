//! Apps and what is set on them: config vars, domains, buildpacks, collaborators, features.

use http::StatusCode;
use serde_json::json;

use super::harness::{EMAIL, Harness};

#[tokio::test]
async fn an_app_is_made_found_renamed_and_removed() {
    let harness = Harness::start().await;
    let app = harness.app("example").await;
    assert_eq!(app["web_url"], "http://example.localhost:8080/");
    assert_eq!(app["git_url"], "https://localhost:5000/example.git");
    assert_eq!(app["generation"]["name"], "cedar");
    assert_eq!(app["owner"]["email"], EMAIL);
    for path in ["/apps", "/users/~/apps", "/users/admin@example.com/apps"] {
        assert_eq!(
            harness.get(path).await.json()[0]["name"],
            "example",
            "{path}"
        );
    }
    let by_id = format!("/apps/{}", app["id"].as_str().unwrap());
    let renamed = harness
        .patch(&by_id, json!({ "name": "renamed", "maintenance": true }))
        .await;
    assert_eq!(renamed.json()["web_url"], "http://renamed.localhost:8080/");
    assert_eq!(renamed.json()["maintenance"], true);
    assert_eq!(
        harness.get("/apps/example").await.status,
        StatusCode::NOT_FOUND
    );
    let domains = harness.get("/apps/renamed/domains").await.json();
    assert_eq!(domains[0]["hostname"], "renamed.localhost");
    assert_eq!(domains[0]["kind"], "heroku");
    assert_eq!(harness.delete("/apps/renamed").await.status, StatusCode::OK);
    assert_eq!(harness.get("/apps").await.json(), json!([]));
}

#[tokio::test]
async fn an_app_without_a_name_gets_one() {
    let harness = Harness::start().await;
    let name = harness.post("/apps", json!({})).await.json()["name"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(name.split('-').count(), 3, "{name}");
}

#[tokio::test]
async fn what_is_wrong_with_an_app_is_said() {
    let harness = Harness::start().await;
    harness.app("example").await;
    let mut said = Vec::new();
    for body in [
        json!({ "name": "example" }),
        json!({ "name": "Not_Valid" }),
        json!({ "stack": "heroku-24" }),
        json!({ "region": "us" }),
        json!({ "name": 1 }),
    ] {
        let answer = harness.post("/apps", body).await;
        said.push(format!("{} {}", answer.status.as_u16(), answer.text));
    }
    insta::assert_snapshot!(said.join("\n"), @r#"
    422 {"id":"invalid_params","message":"Name is already taken","url":null}
    422 {"id":"invalid_params","message":"Name must start with a letter, end with a letter or digit and can only contain lowercase letters, numbers, and dashes, between 3 and 30 characters","url":null}
    422 {"id":"invalid_params","message":"heroku-24 is not a stack of this platform. Available: landfall-13, container","url":null}
    404 {"id":"not_found","message":"Couldn't find that region.","resource":"region","url":null}
    422 {"id":"invalid_params","message":"Invalid parameters: invalid type: integer `1`, expected a string.","url":null}
    "#);
}

#[tokio::test]
async fn config_vars_make_releases_only_when_they_change() {
    let harness = Harness::start().await;
    harness.app("example").await;
    let path = "/apps/example/config-vars";
    let set = harness.patch(path, json!({ "A": "1", "B": "2" })).await;
    assert_eq!(set.json(), json!({ "A": "1", "B": "2" }));
    assert_eq!(
        harness.patch(path, json!({ "A": "1" })).await.status,
        StatusCode::OK
    );
    assert_eq!(
        harness.patch(path, json!({ "B": null })).await.json(),
        json!({ "A": "1" })
    );
    let releases = harness.get("/apps/example/releases").await.json();
    let described: Vec<_> = releases
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["description"].as_str().unwrap())
        .collect();
    assert_eq!(
        described,
        [
            "Initial release",
            "Set A, B config vars",
            "Remove B config vars"
        ]
    );
    let first = harness.get("/apps/example/releases/2/config-vars").await;
    assert_eq!(first.json(), json!({ "A": "1", "B": "2" }));
    let refused = harness.patch(path, json!({ "A": 1 })).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        refused.json()["message"],
        "Config var A must be a string or null"
    );
}

#[tokio::test]
async fn domains_buildpacks_collaborators_and_features() {
    let harness = Harness::start().await;
    harness.app("example").await;
    let new = json!({ "hostname": "WWW.example.com", "sni_endpoint": null });
    let domain = harness.post("/apps/example/domains", new.clone()).await;
    assert_eq!(domain.status, StatusCode::CREATED);
    assert_eq!(domain.json()["cname"], "example.localhost");
    assert_eq!(domain.json()["status"], "none");
    let again = harness.post("/apps/example/domains", new).await;
    assert_eq!(
        again.json()["message"],
        "www.example.com is currently in use by an app"
    );
    let removed = harness
        .delete("/apps/example/domains/www.example.com")
        .await;
    assert_eq!(removed.status, StatusCode::OK);
    let kept = harness
        .delete("/apps/example/domains/example.localhost")
        .await;
    assert_eq!(kept.status, StatusCode::UNPROCESSABLE_ENTITY);

    let updates = json!({ "updates": [{ "buildpack": "urn:buildpack:heroku/python" }] });
    let buildpacks = harness
        .put("/apps/example/buildpack-installations", updates)
        .await;
    let expected = json!([
        { "ordinal": 0, "buildpack": { "url": "heroku/python", "name": "heroku/python" } }
    ]);
    assert_eq!(buildpacks.json(), expected);
    assert_eq!(
        harness
            .get("/apps/example/buildpack-installations")
            .await
            .json(),
        expected
    );

    let collaborators = harness.get("/apps/example/collaborators").await.json();
    assert_eq!(collaborators[0]["role"], "owner");
    assert_eq!(collaborators[0]["user"]["email"], EMAIL);
    let feature = harness.get("/apps/example/features/preboot").await.json();
    assert_eq!(feature["enabled"], true);
    let unknown = harness.get("/apps/example/features/teleport").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}
