//! Our answers have the shapes that the published hyper-schema promises.

use serde_json::{Value, json};

use super::harness::{Harness, path_of};

/// Properties of the published shapes that are left out here, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    // A name without an id in the schema's builds; apps carry the full object.
    ("build", "generation"),
];

/// Checks a value against the part of JSON Schema that the published one uses.
fn check(value: &Value, schema: &Value, path: &str, faults: &mut Vec<String>) {
    if let Some(any) = schema["anyOf"].as_array() {
        let fits = any.iter().any(|schema| {
            let mut faults = Vec::new();
            check(value, schema, path, &mut faults);
            faults.is_empty()
        });
        if !fits {
            faults.push(format!("{path}: {value} fits no alternative"));
        }
        return;
    }
    let types: Vec<&str> = schema["type"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !types.is_empty() && !types.iter().any(|kind| is_of(value, kind)) {
        faults.push(format!("{path}: {value} is not {}", types.join(" or ")));
        return;
    }
    if let Some(words) = schema["enum"]
        .as_array()
        .filter(|words| !words.contains(value))
    {
        // Regions name the published cloud regions; ours is none of them.
        if !path.ends_with("provider.region") {
            faults.push(format!("{path}: {value} is not one of {words:?}"));
        }
    }
    if let Some(text) = value.as_str() {
        let fits = match schema["format"].as_str() {
            Some("uuid") => text.parse::<uuid::Uuid>().is_ok(),
            Some("date-time") => text.len() == 20 && text.ends_with('Z'),
            Some("email") => text.contains('@'),
            _ => true,
        };
        if !fits {
            faults.push(format!("{path}: {text} is not a {}", schema["format"]));
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        if schema["items"].is_object() {
            check(item, &schema["items"], &format!("{path}[{index}]"), faults);
        }
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        match value.get(name) {
            Some(property) => check(property, schema, &format!("{path}.{name}"), faults),
            None if value.is_object() && !LEFT_OUT.contains(&(path, name.as_str())) => {
                faults.push(format!("{path}.{name} is missing"));
            }
            None => {}
        }
    }
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

/// Resources and where lists or single ones of them are read.
const READ: &[(&str, &str)] = &[
    ("account", "/account"),
    ("app", "/apps"),
    ("app-feature", "/apps/example/features"),
    ("build", "/apps/example/builds"),
    (
        "buildpack-installation",
        "/apps/example/buildpack-installations",
    ),
    ("collaborator", "/apps/example/collaborators"),
    ("config-var", "/apps/example/config-vars"),
    ("domain", "/apps/example/domains"),
    ("dyno", "/apps/example/dynos"),
    ("dyno-size", "/dyno-sizes"),
    ("formation", "/apps/example/formation"),
    ("oauth-authorization", "/oauth/authorizations"),
    ("rate-limit", "/account/rate-limits"),
    ("region", "/regions"),
    ("release", "/apps/example/releases"),
    ("sni-endpoint", "/apps/example/sni-endpoints"),
    ("stack", "/stacks"),
];

/// An app with one of everything; answers that cannot be read again are given back.
async fn furnish(harness: &Harness) -> Vec<(&'static str, Value)> {
    harness.app("example").await;
    let config_vars = json!({ "A": "1" });
    harness
        .patch("/apps/example/config-vars", config_vars)
        .await;
    let live = harness
        .deploy("example", &[("web", "serve"), ("release", "exit 0")])
        .await;
    let domain = json!({ "hostname": "www.example.com" });
    harness.post("/apps/example/domains", domain).await;
    let made = rcgen::generate_simple_self_signed(vec!["www.example.com".to_owned()]).unwrap();
    let pair = json!({ "certificate_chain": made.cert.pem(),
        "private_key": made.signing_key.serialize_pem() });
    harness.post("/apps/example/sni-endpoints", pair).await;
    let updates = json!({ "updates": [{ "buildpack": "heroku/python" }] });
    harness
        .put("/apps/example/buildpack-installations", updates)
        .await;
    let source = harness.post("/sources", json!({})).await.json();
    let path = path_of(&source["source_blob"]["put_url"]);
    let upload = http::Request::put(&path).body(axum::body::Body::from("nothing"));
    harness.send(upload.unwrap()).await;
    let build = json!({ "source_blob": { "url": source["source_blob"]["get_url"] } });
    harness.post("/apps/example/builds", build).await;
    let slug = live["slug"]["id"].as_str().unwrap();
    let slug = harness
        .get(&format!("/apps/example/slugs/{slug}"))
        .await
        .json();
    let session = harness
        .post("/apps/example/log-sessions", json!({}))
        .await
        .json();
    let awaiting = json!({ "process_types": { "web": "serve" } });
    let awaiting = harness.post("/apps/example/slugs", awaiting).await.json();
    vec![
        ("slug", slug),
        ("slug", awaiting),
        ("source", source),
        ("log-session", session),
    ]
}

#[tokio::test]
async fn answers_have_the_published_shapes() {
    let harness = Harness::start().await;
    let schema = include_str!("../../fixtures/platform-api-schema.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    let mut answers = furnish(&harness).await;
    for (resource, path) in READ {
        match harness.get(path).await.json() {
            Value::Array(items) => {
                assert!(!items.is_empty(), "{path} is empty");
                answers.extend(items.into_iter().map(|item| (*resource, item)));
            }
            single => answers.push((resource, single)),
        }
    }
    let mut faults = Vec::new();
    for (resource, answer) in answers {
        check(
            &answer,
            &schema["definitions"][resource],
            resource,
            &mut faults,
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_checker_finds_faults() {
    let schema = json!({
        "type": ["object"],
        "properties": { "id": { "type": ["string"], "format": "uuid" }, "n": { "type": ["integer"] } },
    });
    let mut faults = Vec::new();
    check(&json!({ "id": "x" }), &schema, "thing", &mut faults);
    assert_eq!(faults.len(), 2, "{faults:?}");
}
