//! Signing in, tokens, and who may do what with which.

use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use store::NewAccount;

use super::harness::{Answer, EMAIL, Harness, TOKEN, basic};

const PATH: &str = "/oauth/authorizations";

async fn sign_in(harness: &Harness, user: &str, password: &str) -> Answer {
    let body = json!({ "description": "test", "expires_in": 3600, "scope": ["global"] });
    let request = Harness::request(Method::POST, PATH, "")
        .header("authorization", basic(user, password))
        .body(Body::from(body.to_string()));
    harness.send(request.unwrap()).await
}

async fn get_as(harness: &Harness, authorization: &str, path: &str) -> Answer {
    let request = Harness::request(Method::GET, path, "").header("authorization", authorization);
    harness.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_token_signs_in_like_a_password_and_makes_another() {
    let harness = Harness::start().await;
    let answer = sign_in(&harness, EMAIL, TOKEN).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let made = answer.json();
    assert_eq!(made["user"]["email"], EMAIL);
    let token = made["access_token"]["token"].as_str().unwrap();
    let account = get_as(&harness, &format!("Bearer {token}"), "/account").await;
    assert_eq!(account.json()["email"], EMAIL);
    let shown = harness
        .get(&format!("{PATH}/{}", made["id"].as_str().unwrap()))
        .await
        .json();
    let hint = shown["access_token"]["token"].as_str().unwrap();
    let (prefix, suffix) = hint.split_once("**********").unwrap();
    assert!(token.starts_with(prefix) && token.ends_with(suffix) && hint.len() < token.len());
    assert!(!harness.get(PATH).await.text.contains(token));
}

#[tokio::test]
async fn passwords_sign_in_once_they_are_set() {
    let harness = Harness::start().await;
    let password = "correct horse battery";
    assert_eq!(
        sign_in(&harness, EMAIL, password).await.status,
        StatusCode::UNAUTHORIZED
    );
    let update = json!({ "password": TOKEN, "new_password": password });
    assert_eq!(
        harness.patch("/account", update).await.status,
        StatusCode::OK
    );
    assert_eq!(
        sign_in(&harness, EMAIL, password).await.status,
        StatusCode::CREATED
    );
    assert_eq!(
        sign_in(&harness, EMAIL, "wrong horse battery").await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        sign_in(&harness, "other@example.com", TOKEN).await.status,
        StatusCode::UNAUTHORIZED
    );
    let with_password = get_as(&harness, &basic(EMAIL, password), "/account").await;
    assert_eq!(with_password.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn basic_takes_the_token_under_any_name() {
    let harness = Harness::start().await;
    for user in ["", "heroku", "user", EMAIL] {
        let answer = get_as(&harness, &basic(user, TOKEN), "/account").await;
        assert_eq!(answer.status, StatusCode::OK, "{user}");
    }
}

#[tokio::test]
async fn tokens_can_be_described_replaced_and_revoked() {
    let harness = Harness::start().await;
    let made = sign_in(&harness, EMAIL, TOKEN).await.json();
    let path = format!("{PATH}/{}", made["id"].as_str().unwrap());
    let described = harness
        .patch(&path, json!({ "description": "laptop" }))
        .await;
    assert_eq!(described.json()["description"], "laptop");
    let replaced = harness
        .post(&format!("{path}/actions/regenerate-tokens"), json!({}))
        .await;
    let token =
        |body: &Value| format!("Bearer {}", body["access_token"]["token"].as_str().unwrap());
    assert_eq!(
        get_as(&harness, &token(&made), "/account").await.status,
        StatusCode::UNAUTHORIZED
    );
    let new = token(&replaced.json());
    assert_eq!(
        get_as(&harness, &new, "/account").await.status,
        StatusCode::OK
    );
    assert_eq!(harness.delete(&path).await.status, StatusCode::OK);
    assert_eq!(
        get_as(&harness, &new, "/account").await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn logout_is_told_that_there_is_no_session_and_no_default_token() {
    let harness = Harness::start().await;
    let session = harness.delete("/oauth/sessions/~").await;
    assert_eq!(
        (session.status, &session.json()["resource"]),
        (StatusCode::NOT_FOUND, &json!("session"))
    );
    let default = harness.get("/oauth/authorizations/~").await;
    assert_eq!(default.status, StatusCode::NOT_FOUND);
    assert_eq!(default.json()["id"], "not_found");
    assert_eq!(default.json()["resource"], "authorization");
}

#[tokio::test]
async fn a_narrow_token_stays_narrow() {
    let harness = Harness::start().await;
    harness.app("example").await;
    let made = harness
        .post(PATH, json!({ "scope": ["read"] }))
        .await
        .json();
    let token = format!("Bearer {}", made["access_token"]["token"].as_str().unwrap());
    for (path, expected) in [
        ("/apps/example", StatusCode::OK),
        ("/apps/example/config-vars", StatusCode::FORBIDDEN),
        ("/oauth/authorizations", StatusCode::FORBIDDEN),
    ] {
        assert_eq!(
            get_as(&harness, &token, path).await.status,
            expected,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_strangers_token_opens_nothing() {
    let harness = Harness::start().await;
    harness.app("example").await;
    let new = NewAccount {
        email: "stranger@example.com".to_owned(),
        password_hash: None,
    };
    let change = store::Change::by_system("test", "test");
    harness.store.create_account(&change, &new).await.unwrap();
    harness
        .platform
        .ensure_account(&new.email, "strangers-token-0123456789")
        .await
        .unwrap();
    let stranger = "Bearer strangers-token-0123456789";
    assert_eq!(get_as(&harness, stranger, "/apps").await.json(), json!([]));
    let answer = get_as(&harness, stranger, "/apps/example").await;
    let unknown = get_as(&harness, stranger, "/apps/unknown").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(
        answer.text, unknown.text,
        "nobody learns which apps there are"
    );
    let notes = get_as(&harness, stranger, "/status/notes").await;
    assert_eq!(notes.status, StatusCode::FORBIDDEN);
    let added = harness
        .post("/apps/example/collaborators", json!({ "user": new.email }))
        .await;
    assert_eq!(added.status, StatusCode::CREATED);
    assert_eq!(
        get_as(&harness, stranger, "/apps/example").await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_browser_signs_the_waiting_client_in() {
    let harness = Harness::start().await;
    let begun = harness
        .post("/auth", json!({ "description": "CLI <of a> laptop" }))
        .await
        .json();
    let page = begun["browser_url"].as_str().unwrap();
    let form = get_as(&harness, "", page).await;
    assert!(
        form.text.contains("CLI &lt;of a&gt; laptop"),
        "{}",
        form.text
    );
    let submit = async |password: &str| {
        let request = Harness::request(Method::POST, page, "");
        let body = format!("email=admin%40example.com&password={password}");
        harness
            .send(request.body(Body::from(body)).unwrap())
            .await
            .status
    };
    assert_eq!(submit("wrong").await, StatusCode::UNAUTHORIZED);
    let waiting = begun["cli_url"].as_str().unwrap();
    assert_eq!(
        get_as(&harness, "Bearer x", waiting).await.status,
        StatusCode::UNAUTHORIZED
    );
    let secret = format!("Bearer {}", begun["token"].as_str().unwrap());
    let (token, status) = tokio::join!(get_as(&harness, &secret, waiting), submit(TOKEN));
    assert_eq!(status, StatusCode::OK);
    let token = format!("Bearer {}", token.json()["access_token"].as_str().unwrap());
    assert_eq!(
        get_as(&harness, &token, "/account").await.status,
        StatusCode::OK
    );
    assert_eq!(
        get_as(&harness, &secret, waiting).await.status,
        StatusCode::NOT_FOUND
    );
}
