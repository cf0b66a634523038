//! Builds, slugs, releases, formations, dynos, certificates.

use axum::body::Body;
use serde_json::{Value, json};

use crate::http::{conformance::run::Run, harness::path_of};

pub(super) async fn builds(run: &mut Run<'_>) {
    let source = run.harness.post("/sources", json!({})).await.json();
    let path = path_of(&source["source_blob"]["put_url"]);
    let upload = http::Request::put(&path).body(Body::from("nothing"));
    run.harness.send(upload.unwrap()).await;
    let url = &source["source_blob"]["get_url"];
    let new = json!({ "source_blob": { "url": url, "checksum": null, "version": "1" } });
    let build = run.send("build POST /apps/{app}/builds", new).await;
    let one = format!("/apps/example/builds/{}", text(&build["id"]));
    run.harness
        .until(&one, |build| build["status"] != "pending")
        .await;
    run.call("build GET /apps/{app}/builds").await;
    run.call("build GET /apps/{app}/builds/{build}").await;
    run.call("build DELETE /apps/{app}/build-cache").await;
}

pub(super) async fn releases(run: &mut Run<'_>) {
    let new = json!({ "process_types": { "web": "serve" } });
    run.send("slug POST /apps/{app}/slugs", new).await;
    let types = [("web", "serve"), ("worker", "work"), ("release", "exit 0")];
    run.harness.deploy("example", &types).await;
    let slug = run.harness.slug("example", &types).await;
    run.name("slug", &slug.id.to_string());
    run.call("slug GET /apps/{app}/slugs/{slug}").await;
    let new = json!({ "slug": slug.id, "description": "conformance" });
    let release = run.send("release POST /apps/{app}/releases", new).await;
    let one = format!("/apps/example/releases/{}", release["version"]);
    run.harness
        .until(&one, |release| release["status"] != "pending")
        .await;
    run.call("release GET /apps/{app}/releases").await;
    run.call("release GET /apps/{app}/releases/{release}").await;
    run.call("config-var GET /apps/{app}/releases/{release}/config-vars")
        .await;
    let back = json!({ "release": release["id"] });
    run.send("release POST /apps/{app}/releases (2)", back)
        .await;
}

pub(super) async fn dynos(run: &mut Run<'_>) {
    run.name("formation", "web");
    let path = "/apps/{app}/formation";
    run.call(&format!("formation GET {path}")).await;
    run.call(&format!("formation GET {path}/{{formation}}"))
        .await;
    let one = json!({ "quantity": 1 });
    run.send(&format!("formation PATCH {path}/{{formation}}"), one)
        .await;
    let both = json!({ "updates": [{ "type": "worker", "quantity": 1 }] });
    run.send(&format!("formation PATCH {path}"), both).await;
    let is_up = |list: &Value| list.as_array().is_some_and(|list| list.len() >= 2);
    run.harness.until("/apps/example/dynos", is_up).await;
    run.call("dyno GET /apps/{app}/dynos").await;
    run.name("dyno", "web.1");
    run.call("dyno GET /apps/{app}/dynos/{dyno}").await;
    run.call("dyno DELETE /apps/{app}/dynos/{dyno}").await;
    run.name("dyno.formation_type", "worker");
    run.call("dyno DELETE /apps/{app}/formations/{dyno.formation_type}")
        .await;
    run.name("dyno.formation_type", "web");
    run.call("dyno POST /apps/{app}/formations/{dyno.formation_type}/actions/stop")
        .await;
    run.call("dyno DELETE /apps/{app}/dynos").await;
    let new = json!({ "command": "sleep 60", "attach": false });
    run.send("dyno POST /apps/{app}/dynos", new).await;
    run.call("dyno POST /apps/{app}/dynos/{dyno}/actions/stop")
        .await;
}

pub(super) async fn certificates(run: &mut Run<'_>) {
    let made = rcgen::generate_simple_self_signed(vec!["www.example.com".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let new = json!({ "certificate_chain": chain, "private_key": key });
    let path = "/apps/{app}/sni-endpoints";
    run.send(&format!("sni-endpoint POST {path}"), new.clone())
        .await;
    run.call(&format!("sni-endpoint GET {path}")).await;
    let one = format!("{path}/{{sni-endpoint}}");
    run.call(&format!("sni-endpoint GET {one}")).await;
    run.send(&format!("sni-endpoint PATCH {one}"), new).await;
    let endpoint = run.named("sni-endpoint");
    run.send(
        "domain PATCH /apps/{app}/domains/{domain}",
        json!({ "sni_endpoint": endpoint }),
    )
    .await;
    run.send(
        "domain PATCH /apps/{app}/domains/{domain}",
        json!({ "sni_endpoint": null }),
    )
    .await;
    run.call(&format!("sni-endpoint DELETE {one}")).await;
    run.call("app POST /apps/{app}/acm").await;
    run.call("app PATCH /apps/{app}/acm").await;
    run.call("app DELETE /apps/{app}/acm").await;
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
