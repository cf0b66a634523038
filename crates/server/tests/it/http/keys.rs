//! `/account/keys`, as `heroku keys` uses it.

use http::StatusCode;
use serde_json::json;

use super::harness::Harness;

const PATH: &str = "/account/keys";
pub(crate) const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOIpYl+vWjD3P7RQRl7bNDewkMrAGPFcIdocmC2iJ2fy";

#[tokio::test]
async fn a_key_is_added_shown_and_removed() {
    let harness = Harness::start().await;
    assert_eq!(harness.get(PATH).await.json(), json!([]));
    let new = json!({ "public_key": format!("{KEY} me@laptop\n") });
    let added = harness.post(PATH, new.clone()).await;
    assert_eq!(added.status, StatusCode::CREATED, "{added:?}");
    let added = added.json();
    assert_eq!(added["public_key"], format!("{KEY} me@laptop"));
    assert_eq!(
        (&added["comment"], &added["email"]),
        (&json!("me@laptop"), &json!("me@laptop"))
    );
    assert_eq!(harness.get(PATH).await.json(), json!([added]));
    let again = harness.post(PATH, new).await;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        again.json()["message"],
        "Fingerprint has already been taken"
    );
    for identity in ["id", "fingerprint"] {
        let one = format!("{PATH}/{}", added[identity].as_str().unwrap());
        assert_eq!(harness.get(&one).await.json(), added);
    }
    let one = format!("{PATH}/{}", added["id"].as_str().unwrap());
    assert_eq!(harness.delete(&one).await.status, StatusCode::OK);
    assert_eq!(harness.delete(&one).await.status, StatusCode::NOT_FOUND);
    assert_eq!(harness.get(PATH).await.json(), json!([]));
}

#[tokio::test]
async fn what_is_no_key_is_refused_with_a_reason() {
    let harness = Harness::start().await;
    for (text, reason) in [
        ("nonsense", "one line such as"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nx", "private key"),
    ] {
        let refused = harness.post(PATH, json!({ "public_key": text })).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(reason), "{message}");
    }
}
