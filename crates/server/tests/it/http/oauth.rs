//! OAuth clients, codes and tokens; passwords that are changed, forgotten and set; accounts that go.

use std::time::Duration;

use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::harness::{EMAIL, Harness, TOKEN, basic, path_of};

const CLIENTS: &str = "/oauth/clients";
const AUTHORIZATIONS: &str = "/oauth/authorizations";

async fn client(harness: &Harness) -> Value {
    let new = json!({ "name": "robot", "redirect_uri": "https://robot.example.com/cb" });
    let made = harness.post(CLIENTS, new).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    made.json()
}

async fn exchange(harness: &Harness, body: Value) -> super::harness::Answer {
    let request = Harness::request(Method::POST, "/oauth/tokens", "");
    harness
        .send(request.body(Body::from(body.to_string())).unwrap())
        .await
}

async fn status_with(harness: &Harness, token: &Value, path: &str) -> StatusCode {
    let request = Harness::request(Method::GET, path, token.as_str().unwrap());
    harness
        .send(request.body(Body::empty()).unwrap())
        .await
        .status
}

async fn sign_in(harness: &Harness, password: &str) -> super::harness::Answer {
    let request = Harness::request(Method::POST, AUTHORIZATIONS, "")
        .header("authorization", basic(EMAIL, password))
        .body(Body::from("{}"));
    harness.send(request.unwrap()).await
}

#[tokio::test]
async fn a_client_is_made_changed_rotated_and_removed() {
    let harness = Harness::start().await;
    let made = client(&harness).await;
    let path = format!("{CLIENTS}/{}", made["id"].as_str().unwrap());
    assert_eq!(
        harness.get(&path).await.json(),
        made,
        "its owner may read the secret again"
    );
    let odd = json!({ "redirect_uri": "http://robot.example.com/cb" });
    let refused = harness.patch(&path, odd).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let changed = harness.patch(&path, json!({ "name": "android" })).await;
    assert_eq!(changed.json()["name"], "android");
    let rotated = harness
        .post(&format!("{path}/actions/rotate-credentials"), json!({}))
        .await;
    assert_ne!(rotated.json()["secret"], made["secret"]);
    let eve = harness.person("eve@example.com").await;
    assert_eq!(eve.get(&path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(harness.delete(&path).await.status, StatusCode::OK);
    assert_eq!(harness.get(CLIENTS).await.json(), json!([]));
}

#[tokio::test]
async fn a_code_makes_tokens_once_and_a_refresh_token_the_next() {
    let harness = Harness::start().await;
    harness.app("example").await;
    let made = client(&harness).await;
    let allowed = harness
        .post(
            AUTHORIZATIONS,
            json!({ "client": made["id"], "scope": ["read"] }),
        )
        .await
        .json();
    assert_eq!(allowed["client"]["name"], "robot", "{allowed}");
    assert_eq!(allowed["access_token"], Value::Null);
    let code = |secret: &Value| {
        let grant = json!({ "type": "authorization_code", "code": allowed["grant"]["code"] });
        json!({ "grant": grant, "client": { "secret": secret }, "refresh_token": {} })
    };
    let foreign = client(&harness).await;
    let refused = exchange(&harness, code(&foreign["secret"])).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "another's code");
    let first = exchange(&harness, code(&made["secret"])).await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    let first = first.json();
    assert_eq!(first["access_token"]["expires_in"], 28_800);
    let again = exchange(&harness, code(&made["secret"])).await;
    assert_eq!(
        again.status,
        StatusCode::UNAUTHORIZED,
        "a code is taken once"
    );
    let token = &first["access_token"]["token"];
    assert_eq!(
        status_with(&harness, token, "/apps/example").await,
        StatusCode::OK
    );
    let secrets = status_with(&harness, token, "/apps/example/config-vars").await;
    assert_eq!(secrets, StatusCode::FORBIDDEN, "it was let read only");
    let refresh = json!({ "grant": { "type": "refresh_token" },
        "client": { "secret": made["secret"] },
        "refresh_token": { "token": first["refresh_token"]["token"] } });
    let second = exchange(&harness, refresh.clone()).await.json();
    assert_eq!(
        status_with(&harness, token, "/account").await,
        StatusCode::UNAUTHORIZED
    );
    let token = &second["access_token"]["token"];
    assert_eq!(
        status_with(&harness, token, "/account").await,
        StatusCode::OK
    );
    let again = exchange(&harness, refresh).await;
    assert_eq!(
        again.status,
        StatusCode::UNAUTHORIZED,
        "so is a refresh token"
    );
    let path = format!("{CLIENTS}/{}", made["id"].as_str().unwrap());
    harness.delete(&path).await;
    assert_eq!(
        status_with(&harness, token, "/account").await,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn a_new_password_signs_out_who_came_with_the_former() {
    let harness = Harness::start().await;
    let update = json!({ "password": TOKEN, "new_password": "correct horse battery" });
    harness.patch("/account", update).await;
    let signed_in = sign_in(&harness, "correct horse battery").await.json();
    let sessions = harness.get("/oauth/sessions").await.json();
    assert_eq!(sessions[0]["id"], signed_in["id"], "{sessions}");
    assert!(harness.get("/account").await.json()["last_login"].is_string());
    let wrong = json!({ "password": "wrong horse battery", "new_password": "another long one" });
    let refused = harness.patch("/account", wrong).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let update = json!({ "password": "correct horse battery", "new_password": "another long one" });
    assert_eq!(
        harness.patch("/account", update).await.status,
        StatusCode::OK
    );
    let token = &signed_in["access_token"]["token"];
    assert_eq!(
        status_with(&harness, token, "/account").await,
        StatusCode::UNAUTHORIZED
    );
    let signed_in = sign_in(&harness, "another long one").await.json();
    let path = format!("/oauth/sessions/{}", signed_in["id"].as_str().unwrap());
    assert_eq!(harness.delete(&path).await.status, StatusCode::OK);
    let token = &signed_in["access_token"]["token"];
    assert_eq!(
        status_with(&harness, token, "/account").await,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn the_operator_hands_on_a_link_to_choose_a_password() {
    let harness = Harness::start().await;
    let made = harness
        .post("/accounts", json!({ "email": "new@example.com" }))
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let page = path_of(&made.json()["url"]);
    let send = async |body: &str| {
        let request = Harness::request(Method::POST, &page, "");
        let request = request.body(Body::from(body.to_owned())).unwrap();
        harness.send(request).await.status
    };
    assert_eq!(
        send("new_password=short").await,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(send("new_password=a+long+enough+one").await, StatusCode::OK);
    assert_eq!(
        send("new_password=a+long+enough+one").await,
        StatusCode::NOT_FOUND
    );
    let holder = harness
        .platform
        .password_holder("new@example.com", "a long enough one")
        .await;
    assert!(holder.is_ok());
    let ask = async |email: &str| {
        let request = Harness::request(Method::POST, "/password-resets", "");
        let body = json!({ "email": email }).to_string();
        harness.send(request.body(Body::from(body)).unwrap()).await
    };
    let (known, unknown) = (ask("new@example.com").await, ask("no@example.com").await);
    assert_eq!(
        (known.status, unknown.status),
        (StatusCode::CREATED, StatusCode::CREATED)
    );
    assert_eq!(known.json()["user"]["id"].as_str().unwrap().len(), 36);
    let eve = harness.person("eve@example.com").await;
    let path = "/accounts/new@example.com/password-resets";
    assert_eq!(
        eve.ask("POST", path, json!({})).await.status,
        StatusCode::FORBIDDEN
    );
    let reset = harness.post(path, json!({})).await.json();
    let finish = format!("{}/actions/finalize", path_of(&reset["url"]));
    let body = json!({ "password": "one more long one", "password_confirmation": "another" });
    assert_eq!(
        harness.post(&finish, body).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let body = json!({ "password": "one more long one",
        "password_confirmation": "one more long one" });
    assert_eq!(
        harness.post(&finish, body).await.json()["user"]["email"],
        "new@example.com"
    );
}

#[tokio::test]
async fn an_account_goes_once_it_owns_nothing() {
    let harness = Harness::start().await;
    let ann = harness.person("ann@example.com").await;
    let named = ann.ask("PATCH", "/account", json!({ "name": "Ann" })).await;
    assert_eq!(named.json()["name"], "Ann");
    ann.ask("POST", "/apps", json!({ "name": "mine" })).await;
    let refused = ann.ask("DELETE", "/account", json!({})).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    ann.ask("DELETE", "/apps/mine", json!({})).await;
    ann.ask("POST", "/teams", json!({ "name": "solo-team" }))
        .await;
    let refused = ann.ask("DELETE", "/account", json!({})).await;
    assert_eq!(
        refused.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "a team needs an admin"
    );
    ann.ask("DELETE", "/teams/solo-team", json!({})).await;
    let gone = ann.ask("DELETE", "/account", json!({})).await;
    assert_eq!(
        (gone.status, &gone.json()["name"]),
        (StatusCode::OK, &json!("Ann"))
    );
    assert_eq!(ann.get("/account").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        harness.delete("/account").await.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "the platform needs its operator"
    );
    let again = harness
        .post("/accounts", json!({ "email": "ann@example.com" }))
        .await;
    assert_eq!(
        again.status,
        StatusCode::CREATED,
        "the address is free again"
    );
}

#[tokio::test]
async fn who_asks_for_a_code_waits_for_the_next_when_it_has_expired() {
    let harness = Harness::start().await;
    let made = client(&harness).await;
    let allowed = harness
        .post(AUTHORIZATIONS, json!({ "client": made["id"] }))
        .await
        .json();
    let lifetime = Duration::from_secs(allowed["grant"]["expires_in"].as_u64().unwrap());
    assert_eq!(lifetime, platform::oauth_tokens::CODE_LIFETIME);
    let odd = json!({ "grant": { "type": "password" }, "client": { "secret": made["secret"] } });
    let refused = exchange(&harness, odd).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn seconds_may_be_digits_as_the_cli_sends_them() {
    let harness = Harness::start().await;
    for (seconds, expected) in [
        (json!(3600), StatusCode::CREATED),
        (json!("3600"), StatusCode::CREATED),
        (json!("soon"), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let new = json!({ "expires_in": seconds, "scope": ["read"] });
        let made = harness.post(AUTHORIZATIONS, new).await;
        assert_eq!(made.status, expected, "{made:?}");
    }
}
