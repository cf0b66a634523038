//! `/buildpacks`: the names that the CLI looks up in a buildpack registry before it uses them.
//!
//! The built-in buildpacks, and nothing else: any other is given by its URL.

use api::references::lasting_id;
use axum::{Json, extract::RawQuery};
use platform::authorize::Action;
use serde_json::{Value, json};

use super::{error::Refusal, extract::Path, route::Route};

/// Namespace, name, what it builds.
const BUILT_IN: &[(&str, &str, &str)] = &[
    ("heroku", "nodejs", "Node.js apps, with npm and a lock file"),
    (
        "heroku",
        "python",
        "Python apps, with pip, uv, Poetry or Pipenv",
    ),
    ("heroku", "static", "Static sites"),
];

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/buildpacks", Action::ReadPublic, list),
        Route::get("/buildpacks/{name}", Action::ReadPublic, show),
        Route::get("/buildpacks/{name}/readme", Action::ReadPublic, readme),
        Route::get(
            "/buildpacks/{name}/revisions",
            Action::ReadPublic,
            revisions,
        ),
    ]
}

async fn list(RawQuery(query): RawQuery) -> Json<Vec<Value>> {
    let query = query.unwrap_or_default();
    let found = BUILT_IN
        .iter()
        .filter(|buildpack| is_wanted(buildpack, &query));
    Json(found.map(body).collect())
}

async fn show(Path(name): Path<String>) -> Result<Json<Value>, Refusal> {
    Ok(Json(body(find(&name)?)))
}

async fn readme(Path(name): Path<String>) -> Result<Json<Value>, Refusal> {
    let (_, _, description) = find(&name)?;
    let content = format!("{description}. Built into this platform.");
    Ok(Json(json!({ "encoding": "utf8", "content": content })))
}

async fn revisions(Path(name): Path<String>) -> Result<Json<Value>, Refusal> {
    find(&name)?;
    Ok(Json(json!([{
        "release": env!("CARGO_PKG_VERSION"),
        "created_at": "2026-01-01T00:00:00Z",
        "status": "published",
        "license": "Apache-2.0",
    }])))
}

fn find(name: &str) -> Result<&'static (&'static str, &'static str, &'static str), Refusal> {
    BUILT_IN
        .iter()
        .find(|(space, short, _)| name.split_once('/') == Some((space, short)))
        .ok_or(Refusal::Unknown("buildpack"))
}

/// `in[name][]=python`, `in[namespace][]=heroku`, `like[description]=sites`; brackets may be
/// percent-encoded.
fn is_wanted((space, name, description): &(&str, &str, &str), query: &str) -> bool {
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .all(|part| {
            let part = part.replace("%5B", "[").replace("%5D", "]");
            match part.split_once('=') {
                Some(("in[name][]", wanted)) => wanted == *name,
                Some(("in[namespace][]", wanted)) => wanted == *space,
                Some(("like[description]", wanted)) => description
                    .to_ascii_lowercase()
                    .contains(&wanted.to_ascii_lowercase()),
                _ => true,
            }
        })
}

fn body((space, name, description): &(&str, &str, &str)) -> Value {
    json!({
        "id": lasting_id("buildpack", &format!("{space}/{name}")),
        "namespace": space,
        "name": name,
        "category": "languages",
        "description": description,
        "blob_url": format!("urn:buildpack:{space}/{name}"),
        "logo": null,
        "support": { "method": "operator", "address": "Whoever runs this platform" },
        "source": { "type": "built-in" },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, expected: &[&str]) {
        let found = BUILT_IN
            .iter()
            .filter(|buildpack| is_wanted(buildpack, query));
        assert_eq!(
            found.map(|(_, name, _)| *name).collect::<Vec<_>>(),
            expected,
            "{query}"
        );
    }

    #[test]
    fn searches() {
        check("", &["nodejs", "python", "static"]);
        check("in[name][]=python", &["python"]);
        check(
            "in%5Bnamespace%5D%5B%5D=heroku",
            &["nodejs", "python", "static"],
        );
        check("like[description]=SITES", &["static"]);
        check("in[namespace][]=other", &[]);
        assert!(find("heroku/python").is_ok() && find("heroku/cobol").is_err());
    }
}
