//! Certificates that people bring, the domains they are shown for, and what apps ask over TLS.

use http::StatusCode;
use serde_json::{Value, json};

use super::harness::{Answer, Harness};

/// A self-signed certificate for these hosts, and its key.
fn certificate(hosts: &[&str]) -> (String, String) {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(hosts).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn body((chain, key): &(String, String)) -> Value {
    json!({ "certificate_chain": chain, "private_key": key })
}

fn message(answer: &Answer) -> String {
    format!(
        "{} {}",
        answer.status.as_u16(),
        answer.json()["message"].as_str().unwrap()
    )
}

#[tokio::test]
async fn a_certificate_is_added_shown_replaced_and_removed() {
    let harness = Harness::start().await;
    harness.app("example").await;
    let www = json!({ "hostname": "www.example.com", "sni_endpoint": null });
    let www = harness.post("/apps/example/domains", www).await.json();
    let first = certificate(&["www.example.com", "*.example.org"]);
    let added = harness
        .post("/apps/example/sni-endpoints", body(&first))
        .await;
    assert_eq!(added.status, StatusCode::CREATED);
    assert!(!added.text.contains("PRIVATE KEY"), "{}", added.text);
    let added = added.json();
    assert_eq!(added["domains"], json!([www["id"]]));
    let said = &added["ssl_cert"];
    assert_eq!(
        said["cert_domains"],
        json!(["www.example.com", "*.example.org"])
    );
    let marks = ["acm", "ca_signed?", "self_signed?"].map(|mark| said[mark].as_bool().unwrap());
    assert_eq!(marks, [false, false, true]);
    // The only one that is good for a new domain is taken, and no other.
    for (hostname, expected) in [
        ("api.example.org", added["name"].clone()),
        ("www.example.net", Value::Null),
    ] {
        let new = json!({ "hostname": hostname, "sni_endpoint": null });
        let domain = harness.post("/apps/example/domains", new).await.json();
        assert_eq!(domain["sni_endpoint"]["name"], expected, "{hostname}");
    }
    let path = format!(
        "/apps/example/sni-endpoints/{}",
        added["name"].as_str().unwrap()
    );
    let smaller = certificate(&["www.example.com"]);
    assert_eq!(
        message(&harness.patch(&path, body(&smaller)).await),
        "422 The certificate is not good for api.example.org: it is for www.example.com"
    );
    let second = certificate(&["*.example.com", "*.example.org"]);
    let updated = harness.patch(&path, body(&second)).await.json();
    assert_eq!(updated["id"], added["id"]);
    assert_eq!(updated["certificate_chain"], second.0);
    assert_eq!(harness.get(&path).await.json(), updated);
    assert_eq!(harness.delete(&path).await.status, StatusCode::OK);
    assert_eq!(harness.get(&path).await.status, StatusCode::NOT_FOUND);
    let bare = harness.get("/apps/example/domains/www.example.com").await;
    assert_eq!(bare.json()["sni_endpoint"], Value::Null);
}

#[tokio::test]
async fn a_domain_changes_its_certificate() {
    let harness = Harness::start().await;
    harness.app("example").await;
    let pair = certificate(&["www.example.com"]);
    let name = harness
        .post("/apps/example/sni-endpoints", body(&pair))
        .await
        .json()["name"]
        .clone();
    let new = json!({ "hostname": "www.example.com", "sni_endpoint": name });
    let added = harness.post("/apps/example/domains", new).await.json();
    assert_eq!(added["sni_endpoint"]["name"], name);
    let path = "/apps/example/domains/www.example.com";
    for (endpoint, expected) in [(Value::Null, Value::Null), (name.clone(), name.clone())] {
        let update = json!({ "sni_endpoint": endpoint });
        let updated = harness.patch(path, update).await.json();
        assert_eq!(updated["sni_endpoint"]["name"], expected);
    }
    let mut said = Vec::new();
    for (path, update) in [
        (path, json!({ "sni_endpoint": "nobody" })),
        (path, json!({})),
        (
            "/apps/example/domains/example.localhost",
            json!({ "sni_endpoint": name }),
        ),
    ] {
        said.push(message(&harness.patch(path, update).await));
    }
    let other = json!({ "hostname": "www.example.net", "sni_endpoint": name });
    said.push(message(&harness.post("/apps/example/domains", other).await));
    insta::assert_snapshot!(said.join("\n"), @r"
    404 Couldn't find that sni endpoint.
    422 Invalid parameters: missing field `sni_endpoint`.
    422 example.localhost has the platform's certificate
    422 The certificate is not good for www.example.net: it is for www.example.com
    ");
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_in_words() {
    let harness = Harness::start().await;
    harness.app("example").await;
    let (chain, key) = certificate(&["www.example.com"]);
    let (other, _) = certificate(&["www.example.com"]);
    let mut said = Vec::new();
    for pair in [
        (other.clone(), key.clone()),
        (format!("{other}{chain}"), key.clone()),
        (key.clone(), key.clone()),
        (chain, "nonsense".to_owned()),
    ] {
        let answer = harness
            .post("/apps/example/sni-endpoints", body(&pair))
            .await;
        said.push(message(&answer));
    }
    let acm = harness.post("/apps/example/acm", json!({})).await;
    said.push(message(&acm));
    let refresh = harness.patch("/apps/example/acm", json!({})).await;
    said.push(message(&refresh));
    insta::assert_snapshot!(said.join("\n"), @r"
    422 The private key does not belong to the certificate
    422 The private key belongs to certificate 2 of the chain: put that one first, then the one that signed it, and so on
    422 No certificate was found in the chain: it must be PEM text
    422 No private key was found: it must be PEM text without a passphrase
    422 This platform has no certificate authority: its operator must set `acme.directory` in landfall.toml
    422 Automatic certificates are off for example: run `heroku certs:auto:enable`
    ");
}

#[tokio::test]
async fn what_an_app_asks_over_tls_changes_in_parts() {
    let harness = Harness::start().await;
    harness.app("example").await;
    let path = "/apps/example/tls";
    let bare = json!({ "redirect": false, "hsts": null, "client_authority": null });
    assert_eq!(harness.get(path).await.json(), bare);
    let hsts = json!({ "max_age_seconds": 600 });
    let early = harness.patch(path, json!({ "hsts": hsts })).await;
    assert_eq!(early.status, StatusCode::UNPROCESSABLE_ENTITY);
    harness.patch(path, json!({ "redirect": true })).await;
    let set = harness.patch(path, json!({ "hsts": hsts })).await.json();
    assert_eq!(
        (&set["redirect"], &set["hsts"]["max_age_seconds"]),
        (&json!(true), &json!(600))
    );
    let gone = harness.patch(path, json!({ "hsts": null })).await.json();
    assert_eq!(
        (&gone["redirect"], &gone["hsts"]),
        (&json!(true), &Value::Null)
    );
    let slip = harness.patch(path, json!({ "redirects": true })).await;
    assert_eq!(slip.status, StatusCode::UNPROCESSABLE_ENTITY);
}
