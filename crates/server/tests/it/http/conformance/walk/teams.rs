//! Teams, their people and apps, apps that change hands, and programs of others.

use serde_json::{Value, json};

use crate::http::{conformance::run::Run, harness::EMAIL};

/// Calls links one after another that take no body.
async fn calls(run: &mut Run<'_>, keys: &[&str]) {
    for key in keys {
        run.call(key).await;
    }
}

pub(super) async fn teams(run: &mut Run<'_>) {
    run.harness.person("ann@example.com").await;
    run.send("team POST /teams", json!({ "name": "acme" }))
        .await;
    run.name("team", "acme");
    run.name("team-preferences", "acme");
    run.name("team-feature", "org-access-controls");
    let off = json!({ "addons-controls": false });
    run.send(
        "team-preferences PATCH /teams/{team-preferences}/preferences",
        off,
    )
    .await;
    calls(
        run,
        &[
            "team GET /teams",
            "team GET /teams/{team}",
            "team-preferences GET /teams/{team-preferences}/preferences",
            "team-feature GET /teams/{team}/features",
            "team-feature GET /teams/{team}/features/{team-feature}",
            "team-delinquency GET /teams/{team}/delinquency",
            "identity-provider GET /teams/{team}/identity-providers",
            "team-app-permission GET /teams/permissions",
        ],
    )
    .await;
    let provider = json!({ "certificate": "x", "entity_id": "x",
        "sso_target_url": "https://example.com" });
    let path = "/teams/{team}/identity-providers";
    run.send(&format!("identity-provider POST {path}"), provider)
        .await;
    run.name("identity-provider", "x");
    let one = format!("{path}/{{identity-provider}}");
    run.send(&format!("identity-provider PATCH {one}"), json!({}))
        .await;
    run.call(&format!("identity-provider DELETE {one}")).await;
    let name = json!({ "name": "acme" });
    run.send("team PATCH /teams/{team}", name).await;
    members(run).await;
    invitations(run).await;
    apps(run).await;
    calls(run, &["permission-entity GET /teams/{team}/permissions"]).await;
    run.harness.delete("/apps/shop").await;
    calls(run, &["team DELETE /teams/{team}"]).await;
}

async fn members(run: &mut Run<'_>) {
    let ann = json!({ "email": "ann@example.com", "role": "member" });
    for method in ["PUT", "POST", "PATCH"] {
        let key = format!("team-member {method} /teams/{{team}}/members");
        run.send(&key, ann.clone()).await;
    }
    run.name("team-member", "ann@example.com");
    calls(
        run,
        &[
            "team-member GET /teams/{team}/members",
            "team-member GET /teams/{team}/members/{team-member}/apps",
            "team-member DELETE /teams/{team}/members/{team-member}",
        ],
    )
    .await;
}

async fn invitations(run: &mut Run<'_>) {
    let put = "team-invitation PUT /teams/{team}/invitations";
    let ann = json!({ "email": "ann@example.com", "role": "member" });
    let invited = run.send(put, ann).await;
    run.name(
        "team-invitation.token",
        invited["token"].as_str().unwrap_or_default(),
    );
    run.name(
        "team-invitation",
        invited["id"].as_str().unwrap_or_default(),
    );
    calls(
        run,
        &[
            "team-invitation GET /teams/{team}/invitations",
            "team-invitation GET /teams/invitations/{team-invitation.token}",
            "team-invitation DELETE /teams/{team}/invitations/{team-invitation}",
        ],
    )
    .await;
    // Who asks is in the team already; the invitation to another team is for them.
    let ann = run.harness.person("ann@example.com").await;
    ann.ask("POST", "/teams", json!({ "name": "other" })).await;
    let body = json!({ "email": EMAIL, "role": "member" });
    let invited = ann
        .ask("PUT", "/teams/other/invitations", body)
        .await
        .json();
    run.name(
        "team-invitation.token",
        invited["token"].as_str().unwrap_or_default(),
    );
    calls(
        run,
        &["team-invitation POST /teams/invitations/{team-invitation.token}/accept"],
    )
    .await;
}

async fn apps(run: &mut Run<'_>) {
    let new = json!({ "name": "shop", "team": "acme" });
    run.send("team-app POST /teams/apps", new).await;
    run.name("team-app", "shop");
    run.name("app", "shop");
    let locked = json!({ "locked": true });
    run.send("team-app PATCH /teams/apps/{team-app}", locked)
        .await;
    calls(
        run,
        &[
            "team-app GET /teams/apps/{team-app}",
            "team-app GET /teams/{team}/apps",
        ],
    )
    .await;
    let path = "/teams/apps/{team-app}/collaborators";
    let new = json!({ "user": "ann@example.com", "permissions": ["deploy"] });
    run.send(
        "team-app-collaborator POST /teams/apps/{app}/collaborators",
        new,
    )
    .await;
    run.name("team-app-collaborator", "ann@example.com");
    run.call(&format!("team-app-collaborator GET {path}")).await;
    let one = format!("{path}/{{team-app-collaborator}}");
    run.call(&format!("team-app-collaborator GET {one}")).await;
    let update = json!({ "permissions": ["operate"] });
    run.send(&format!("team-app-collaborator PATCH {one}"), update)
        .await;
    run.call(&format!("team-app-collaborator DELETE {one}"))
        .await;
    let own = json!({ "owner": EMAIL });
    run.send("team-app PATCH /teams/apps/{team-app} (2)", own)
        .await;
    let back = json!({ "owner": "acme" });
    run.send("team-app PATCH /teams/apps/{team-app} (3)", back)
        .await;
    run.name("app", "example");
}

pub(super) async fn transfers(run: &mut Run<'_>) {
    let path = "/account/app-transfers";
    let one = format!("{path}/{{app-transfer}}");
    let offer = json!({ "app": "example", "recipient": "ann@example.com" });
    run.send(&format!("app-transfer POST {path}"), offer).await;
    run.call(&format!("app-transfer GET {path}")).await;
    run.call(&format!("app-transfer GET {one}")).await;
    run.call(&format!("app-transfer DELETE {one}")).await;
    let ann = run.harness.person("ann@example.com").await;
    ann.ask("POST", "/apps", json!({ "name": "gift" })).await;
    let offer = json!({ "app": "gift", "recipient": EMAIL });
    let offer = ann.ask("POST", path, offer).await.json();
    run.name("app-transfer", offer["id"].as_str().unwrap_or_default());
    let accept = json!({ "state": "accepted" });
    run.send(&format!("app-transfer PATCH {one}"), accept).await;
}

pub(super) async fn clients(run: &mut Run<'_>) {
    let new = json!({ "name": "robot", "redirect_uri": "https://robot.example.com/cb" });
    let client = run.send("oauth-client POST /oauth/clients", new).await;
    let one = "/oauth/clients/{oauth-client}";
    run.call("oauth-client GET /oauth/clients").await;
    run.call(&format!("oauth-client GET {one}")).await;
    let update = json!({ "name": "android" });
    run.send(&format!("oauth-client PATCH {one}"), update).await;
    let allowed = json!({ "client": client["id"], "scope": ["read"] });
    let allowed = run.harness.post("/oauth/authorizations", allowed).await;
    let tokens = exchange(run, &client, &allowed.json()).await;
    run.name("oauth-token", tokens["id"].as_str().unwrap_or_default());
    run.call("oauth-token DELETE /oauth/tokens/{oauth-token}")
        .await;
    run.call(&format!(
        "oauth-client POST {one}/actions/rotate-credentials"
    ))
    .await;
    run.call(&format!("oauth-client DELETE {one}")).await;
}

async fn exchange(run: &mut Run<'_>, client: &Value, allowed: &Value) -> Value {
    let body = json!({
        "client": { "secret": client["secret"] },
        "grant": { "type": "authorization_code", "code": allowed["grant"]["code"] },
        "refresh_token": { "token": "" },
    });
    run.send("oauth-token POST /oauth/tokens", body).await
}

pub(super) async fn passwords(run: &mut Run<'_>) {
    let ask = json!({ "email": "ann@example.com" });
    run.send("password-reset POST /password-resets", ask).await;
    let made = run
        .harness
        .post("/accounts/ann@example.com/password-resets", json!({}));
    let made = made.await.json();
    let url = made["url"].as_str().unwrap_or_default();
    let token = url.rsplit('/').next().unwrap_or_default();
    run.name("password-reset.reset_password_token", token);
    let chosen = json!({ "password": "a long enough one",
        "password_confirmation": "a long enough one" });
    let key = "password-reset POST \
               /password-resets/{password-reset.reset_password_token}/actions/finalize";
    run.send(key, chosen).await;
}
