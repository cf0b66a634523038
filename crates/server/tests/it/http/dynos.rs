//! Formation, dynos and logs.

use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::json;

use super::harness::{Answer, Harness, path_of};

#[tokio::test]
async fn scaling_listing_and_restarting() {
    let harness = Harness::start().await;
    harness.app("example").await;
    harness
        .deploy("example", &[("web", "serve"), ("worker", "hang")])
        .await;
    let updates = json!({ "updates": [
        { "type": "web", "quantity": 2 },
        { "type": "worker", "quantity": "+1", "size": "Standard-2X" },
    ] });
    let scaled = harness
        .patch("/apps/example/formation", updates)
        .await
        .json();
    assert_eq!(
        (&scaled[0]["quantity"], &scaled[1]["quantity"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(scaled[1]["size"], "Standard-2X");
    let up = |count: usize| {
        move |dynos: &serde_json::Value| {
            let dynos = dynos.as_array().unwrap();
            dynos.len() == count && dynos.iter().all(|dyno| dyno["state"] == "up")
        }
    };
    let dynos = harness.until("/apps/example/dynos", up(3)).await;
    let names: Vec<_> = dynos
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names.iter().filter(|name| name.starts_with("web.")).count(),
        2,
        "{names:?}"
    );
    let old = dynos[0]["id"].clone();
    let restarted = harness.delete("/apps/example/dynos").await;
    assert_eq!(
        (restarted.status, restarted.json()),
        (StatusCode::ACCEPTED, json!({}))
    );
    harness
        .until("/apps/example/dynos", |dynos| {
            up(3)(dynos)
                && dynos
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|dyno| dyno["id"] != old)
        })
        .await;
    let unknown = json!({ "updates": [{ "type": "clock", "quantity": 1 }] });
    let unknown = harness.patch("/apps/example/formation", unknown).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let relative = harness
        .patch("/apps/example/formation/web", json!({ "quantity": 1 }))
        .await;
    assert_eq!(relative.json()["quantity"], 1);
}

#[tokio::test]
async fn sizes_events_and_health_checks() {
    let harness = Harness::start().await;
    harness.app("example").await;
    harness.deploy("example", &[("web", "serve")]).await;
    let size = harness.get("/dyno-sizes/Standard-2X").await.json();
    assert_eq!(
        (&size["name"], &size["memory"]),
        (&json!("standard-2x"), &json!(1.0))
    );
    let unknown = harness.get("/dyno-sizes/huge").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let events = harness.get("/apps/example/dynos/web.1/events").await.json();
    let events = events.as_array().unwrap();
    assert!(
        events.iter().any(|event| event["kind"] == "dyno.started"),
        "{events:?}"
    );
    let path = "/apps/example/formation/web/health-checks";
    let none = harness.get(path).await.json();
    assert_eq!(
        none,
        json!({ "startup": null, "readiness": null, "liveness": null, "source": "none" })
    );
    let tcp = json!({ "type": "tcp", "attempts": 5 });
    let set = harness.put(path, json!({ "readiness": tcp })).await.json();
    assert_eq!((&set["readiness"], &set["source"]), (&tcp, &json!("api")));
    let http = json!({ "type": "http", "path": "/health" });
    let update = json!({ "startup": http, "readiness": null });
    let set = harness.patch(path, update).await.json();
    assert_eq!(
        (&set["startup"], &set["readiness"]),
        (&http, &serde_json::Value::Null)
    );
    let wrong = json!({ "startup": { "type": "http", "path": "health" } });
    let refused = harness.put(path, wrong).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let misspelt = harness.patch(path, json!({ "livenes": http })).await;
    assert!(misspelt.status.is_client_error());
    assert_eq!(harness.delete(path).await.json(), none);
}

#[tokio::test]
async fn one_off_dynos() {
    let harness = Harness::start().await;
    harness.app("example").await;
    let early = harness
        .post("/apps/example/dynos", json!({ "command": "ls" }))
        .await;
    assert_eq!(early.status, StatusCode::UNPROCESSABLE_ENTITY);
    harness.deploy("example", &[("web", "serve")]).await;
    let body = json!({ "command": "cat", "attach": true, "env": { "TERM": "x", "COLUMNS": 80 } });
    let attached = harness.post("/apps/example/dynos", body).await;
    assert_eq!(attached.status, StatusCode::CREATED, "{attached:?}");
    let attached = attached.json();
    let url = attached["attach_url"].as_str().unwrap();
    assert!(url.starts_with("rendezvous://localhost:5000/"), "{url}");
    assert_eq!(attached["type"], "run");
    let detached = harness
        .post("/apps/example/dynos", json!({ "command": "hang" }))
        .await
        .json();
    assert_eq!(detached["attach_url"], json!(null));
    let name = detached["name"].as_str().unwrap();
    let stopped = harness
        .post(
            &format!("/apps/example/dynos/{name}/actions/stop"),
            json!({}),
        )
        .await;
    assert_eq!(stopped.status, StatusCode::ACCEPTED);
    harness
        .until("/apps/example/dynos", |dynos| {
            dynos
                .as_array()
                .unwrap()
                .iter()
                .all(|dyno| dyno["name"] != name)
        })
        .await;
}

async fn read(harness: &Harness, path: &str, accept: &str) -> Answer {
    let request = http::Request::builder()
        .method(Method::GET)
        .uri(path)
        .header("accept", accept);
    harness.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn logs_are_read_without_a_token_as_text_or_events() {
    let harness = Harness::start().await;
    harness.app("example").await;
    harness
        .deploy("example", &[("web", "print hello; serve")])
        .await;
    let sessions = "/apps/example/log-sessions";
    let session = harness
        .post(sessions, json!({ "lines": 100, "tail": false }))
        .await;
    assert_eq!(session.status, StatusCode::CREATED);
    let path = path_of(&session.json()["logplex_url"]);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    let text = loop {
        let text = read(&harness, &path, "*/*").await;
        if text.text.contains("app[web.1]: hello") {
            break text;
        }
        assert!(tokio::time::Instant::now() < deadline, "{}", text.text);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    assert!(text.header("content-type").starts_with("text/plain"));
    let events = read(&harness, &path, "text/event-stream").await;
    assert_eq!(events.header("content-type"), "text/event-stream");
    assert!(events.text.contains("\ndata: 20") && events.text.contains("app[web.1]: hello\n\n"));
    let of_heroku = harness.post(sessions, json!({ "source": "heroku" })).await;
    let of_heroku = read(&harness, &path_of(&of_heroku.json()["logplex_url"]), "*/*").await;
    assert!(!of_heroku.text.contains(" app["), "{}", of_heroku.text);
    let refused = harness.post(sessions, json!({ "source": "moon" })).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
}
