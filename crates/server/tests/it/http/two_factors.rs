//! The second factor: set up, asked for as the official CLI expects it, used up, and lost.

use axum::body::Body;
use http::{Method, StatusCode};
use ring::hmac;
use serde_json::{Value, json};

use super::harness::{Answer, EMAIL, Harness, TOKEN, basic};

const PASSWORD: &str = "correct horse battery";
const PATH: &str = "/account/two-factor";

/// The code of a secret in base 32, `ahead` steps of half a minute from now.
fn code(secret: &str, ahead: i64) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bits: Vec<usize> = secret
        .bytes()
        .flat_map(|letter| {
            let index = ALPHABET.iter().position(|known| *known == letter).unwrap();
            (0..5).rev().map(move |place| (index >> place) & 1)
        })
        .collect();
    let byte = |bits: &[usize]| bits.iter().fold(0_usize, |byte, bit| (byte << 1) | *bit);
    let key: Vec<u8> = bits
        .chunks_exact(8)
        .map(|bits| u8::try_from(byte(bits)).unwrap())
        .collect();
    let now = api::clock::Clock::system().now().as_micros() / 1_000_000;
    let step = now / 30 + ahead;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    let offset = usize::from(bytes[19] & 15);
    let word = u32::from_be_bytes(bytes[offset..offset + 4].try_into().unwrap());
    format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
}

async fn sign_in(harness: &Harness, code: &str) -> Answer {
    let mut request = Harness::request(Method::POST, "/oauth/authorizations", "")
        .header("authorization", basic(EMAIL, PASSWORD));
    if !code.is_empty() {
        request = request.header("heroku-two-factor-code", code);
    }
    harness.send(request.body(Body::from("{}")).unwrap()).await
}

/// An account with a second factor: its secret, the code that confirmed it, and its recovery codes.
async fn with_two_factor(harness: &Harness) -> (String, String, Vec<Value>) {
    let update = json!({ "password": TOKEN, "new_password": PASSWORD });
    harness.patch("/account", update).await;
    let begun = harness.post(PATH, json!({})).await.json();
    let secret = begun["secret"].as_str().unwrap().to_owned();
    assert!(begun["otpauth_url"].as_str().unwrap().contains(&secret));
    assert_eq!(
        sign_in(harness, "").await.status,
        StatusCode::CREATED,
        "not asked for yet"
    );
    let wrong = json!({ "code": "000000" });
    let refused = harness
        .post(&format!("{PATH}/actions/confirm"), wrong)
        .await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let used = code(&secret, 0);
    let right = json!({ "code": used });
    let confirmed = harness
        .post(&format!("{PATH}/actions/confirm"), right)
        .await;
    assert_eq!(confirmed.status, StatusCode::OK, "{confirmed:?}");
    let codes = confirmed.json()["recovery_codes"]
        .as_array()
        .unwrap()
        .clone();
    (secret, used, codes)
}

#[tokio::test]
async fn a_code_is_asked_for_and_taken_once() {
    let harness = Harness::start().await;
    let (secret, used, codes) = with_two_factor(&harness).await;
    assert_eq!(codes.len(), 10);
    let account = harness.get("/account").await.json();
    assert_eq!(account["two_factor_authentication"], true);
    let asked = sign_in(&harness, "").await;
    assert_eq!(asked.status, StatusCode::FORBIDDEN);
    assert_eq!(asked.json()["id"], "two_factor");
    assert_eq!(sign_in(&harness, "123456").await.json()["id"], "two_factor");
    let replayed = sign_in(&harness, &used).await;
    assert_eq!(replayed.json()["id"], "two_factor", "that one confirmed it");
    // The step after this one, so that the clock may tick meanwhile.
    let right = code(&secret, 1);
    let signed_in = sign_in(&harness, &right).await;
    assert_eq!(signed_in.status, StatusCode::CREATED, "{signed_in:?}");
    assert_eq!(
        sign_in(&harness, &right).await.status,
        StatusCode::FORBIDDEN,
        "replayed"
    );
}

#[tokio::test]
async fn a_recovery_code_opens_once_and_codes_can_be_renewed() {
    let harness = Harness::start().await;
    let (_, _, codes) = with_two_factor(&harness).await;
    let first = codes[0].as_str().unwrap();
    let typed = format!("{} {}", first[..8].to_lowercase(), &first[8..]);
    assert_eq!(sign_in(&harness, &typed).await.status, StatusCode::CREATED);
    assert_eq!(
        sign_in(&harness, &typed).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        harness.get(PATH).await.json(),
        json!({ "enabled": true, "recovery_codes_left": 9 })
    );
    let path = format!("{PATH}/actions/renew-recovery-codes");
    let renewed = harness
        .post(&path, json!({ "code": codes[1] }))
        .await
        .json();
    let renewed = renewed["recovery_codes"][0].as_str().unwrap();
    let old = sign_in(&harness, codes[2].as_str().unwrap()).await;
    assert_eq!(old.status, StatusCode::FORBIDDEN);
    assert_eq!(sign_in(&harness, renewed).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn it_can_be_disabled_with_a_code_and_reset_by_the_operator() {
    let harness = Harness::start().await;
    let (_, _, codes) = with_two_factor(&harness).await;
    let request = Harness::request(Method::DELETE, PATH, TOKEN);
    let wrong = request.body(Body::from(r#"{"code":"nothing"}"#)).unwrap();
    assert_eq!(
        harness.send(wrong).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let request = Harness::request(Method::DELETE, PATH, TOKEN);
    let body = json!({ "code": codes[0] }).to_string();
    let off = harness.send(request.body(Body::from(body)).unwrap()).await;
    assert_eq!(
        off.json(),
        json!({ "enabled": false, "recovery_codes_left": 0 })
    );
    assert_eq!(sign_in(&harness, "").await.status, StatusCode::CREATED);
    let begun = harness.post(PATH, json!({})).await.json();
    let right = json!({ "code": code(begun["secret"].as_str().unwrap(), 0) });
    let confirmed = harness
        .post(&format!("{PATH}/actions/confirm"), right)
        .await;
    assert_eq!(confirmed.status, StatusCode::OK, "{confirmed:?}");
    let reset = harness
        .delete(&format!("/accounts/{EMAIL}/two-factor"))
        .await;
    assert_eq!(
        reset.json()["two_factor_authentication"],
        false,
        "{reset:?}"
    );
    assert_eq!(sign_in(&harness, "").await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn nobody_tries_many_codes() {
    let harness = Harness::start().await;
    with_two_factor(&harness).await;
    let path = format!("{PATH}/actions/renew-recovery-codes");
    let mut last = StatusCode::OK;
    for _ in 0..20 {
        last = harness
            .post(&path, json!({ "code": "123456" }))
            .await
            .status;
        if last == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
        assert_eq!(last, StatusCode::UNPROCESSABLE_ENTITY);
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    let signed_in = sign_in(&harness, "123456").await.status;
    assert_eq!(
        signed_in,
        StatusCode::TOO_MANY_REQUESTS,
        "tries are counted together"
    );
}
