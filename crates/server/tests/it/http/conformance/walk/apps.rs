//! Accounts, catalogues, apps and what is set on them.

use serde_json::{Value, json};

use crate::http::conformance::run::Run;

pub(super) async fn account(run: &mut Run<'_>) {
    run.name("account", "~");
    run.call("account GET /account").await;
    run.call("account GET /users/{account}").await;
    let name = json!({ "name": "Ada" });
    run.send("account PATCH /account", name.clone()).await;
    run.send("account PATCH /users/{account}", name).await;
    run.call("rate-limit GET /account/rate-limits").await;
    let key = run.harness.post(
        "/account/keys",
        json!({ "public_key": crate::http::keys::KEY }),
    );
    let key = key.await.json();
    run.name("key", key["id"].as_str().unwrap_or_default());
    run.call("key GET /account/keys").await;
    run.call("key GET /account/keys/{key}").await;
    let new = json!({ "scope": ["global"], "description": "conformance", "expires_in": 3600 });
    run.send("oauth-authorization POST /oauth/authorizations", new)
        .await;
    run.call("oauth-authorization GET /oauth/authorizations")
        .await;
    let one = "/oauth/authorizations/{oauth-authorization}";
    run.call(&format!("oauth-authorization GET {one}")).await;
    let update = json!({ "description": "renamed" });
    run.send(&format!("oauth-authorization PATCH {one}"), update)
        .await;
    run.call(&format!(
        "oauth-authorization POST {one}/actions/regenerate-tokens"
    ))
    .await;
    run.call(&format!("oauth-authorization DELETE {one}")).await;
}

pub(super) async fn catalogue(run: &mut Run<'_>) {
    let first = |list: &Value| list[0]["id"].as_str().unwrap_or_default().to_owned();
    let stacks = run.call("stack GET /stacks").await;
    run.name("stack", &first(&stacks));
    run.call("stack GET /stacks/{stack}").await;
    run.call("generation GET /generations").await;
    run.name("stack", "cedar");
    run.call("generation GET /generations/{stack}").await;
    let regions = run.call("region GET /regions").await;
    run.name("region", &first(&regions));
    run.call("region GET /regions/{region}").await;
    let sizes = run.call("dyno-size GET /dyno-sizes").await;
    run.name("dyno-size", &first(&sizes));
    run.call("dyno-size GET /dyno-sizes/{dyno-size}").await;
}

pub(super) async fn apps(run: &mut Run<'_>) {
    run.send("app POST /apps", json!({ "name": "example" }))
        .await;
    run.name("app", "example");
    run.call("app GET /apps").await;
    run.call("app GET /apps/{app}").await;
    run.call("app GET /users/{account}/apps").await;
    run.send("app PATCH /apps/{app}", json!({ "maintenance": true }))
        .await;
    run.send("app PATCH /apps/{app}", json!({ "maintenance": false }))
        .await;
    let filter = json!({ "in": { "id": [run.harness.get("/apps/example").await.json()["id"]] } });
    run.send("filter-apps POST /filters/apps", filter).await;
    run.call("stack GET /apps/{app}/available-stacks").await;
    run.call("dyno-size GET /apps/{app}/available-dyno-sizes")
        .await;
    run.call("source POST /sources").await;
    run.call("source POST /apps/{app}/sources").await;
}

pub(super) async fn settings(run: &mut Run<'_>) {
    let vars = json!({ "GREETING": "hello", "GONE": null });
    run.send("config-var PATCH /apps/{app}/config-vars", vars)
        .await;
    run.call("config-var GET /apps/{app}/config-vars").await;
    let features = run.call("app-feature GET /apps/{app}/features").await;
    run.name("app-feature", features[0]["name"].as_str().unwrap_or(""));
    let one = "/apps/{app}/features/{app-feature}";
    run.call(&format!("app-feature GET {one}")).await;
    run.send(
        &format!("app-feature PATCH {one}"),
        json!({ "enabled": true }),
    )
    .await;
    let updates = json!({ "updates": [{ "buildpack": "heroku/python" }] });
    let path = "/apps/{app}/buildpack-installations";
    run.send(&format!("buildpack-installation PUT {path}"), updates)
        .await;
    run.call(&format!("buildpack-installation GET {path}"))
        .await;
    let new = json!({ "hostname": "www.example.com", "sni_endpoint": null });
    run.send("domain POST /apps/{app}/domains", new).await;
    run.call("domain GET /apps/{app}/domains").await;
    run.call("domain GET /apps/{app}/domains/{domain}").await;
    let drains = "/apps/{app}/log-drains";
    let new = json!({ "url": "https://logs.example.com/in" });
    run.send(&format!("log-drain POST {drains}"), new).await;
    run.call(&format!("log-drain GET {drains}")).await;
    run.call(&format!("log-drain GET {drains}/{{log-drain}}"))
        .await;
    run.call(&format!("log-drain DELETE {drains}/{{log-drain}}"))
        .await;
    let session = json!({ "lines": 10, "tail": false });
    run.send("log-session POST /apps/{app}/log-sessions", session)
        .await;
}

pub(super) async fn people(run: &mut Run<'_>) {
    let other = run
        .harness
        .platform
        .ensure_account("eve@example.com", "another-token-0123456789abcdef");
    other.await.unwrap();
    let path = "/apps/{app}/collaborators";
    let new = json!({ "user": "eve@example.com", "silent": true });
    run.send(&format!("collaborator POST {path}"), new).await;
    run.call(&format!("collaborator GET {path}")).await;
    run.call(&format!("collaborator GET {path}/{{collaborator}}"))
        .await;
    run.call(&format!("collaborator DELETE {path}/{{collaborator}}"))
        .await;
}

pub(super) async fn ends(run: &mut Run<'_>) {
    run.call("domain DELETE /apps/{app}/domains/{domain}").await;
    run.harness.app("doomed").await;
    run.name("app", "doomed");
    run.call("app DELETE /apps/{app}").await;
    run.name("app", "example");
}
