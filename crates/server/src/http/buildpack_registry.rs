//! `/buildpacks`: the names that the CLI looks up in a buildpack registry before it uses them.
//!
//! Those that are built in, the well-known ones of Heroku's registry, and the operator's own. Any
//! other is given by its URL.

use api::references::lasting_id;
use axum::{
    Json,
    extract::{RawQuery, State},
};
use platform::{KnownBuildpack, Platform, authorize::Action};
use serde_json::{Value, json};

use super::{error::Refusal, extract::Path, route::Route};

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

async fn list(
    State(platform): State<Platform>,
    RawQuery(query): RawQuery,
) -> Result<Json<Vec<Value>>, Refusal> {
    let query = query.unwrap_or_default();
    let known = platform.known_buildpacks().await?;
    let found = known
        .iter()
        .filter(|buildpack| is_wanted(buildpack, &query));
    Ok(Json(found.map(body).collect()))
}

async fn show(
    State(platform): State<Platform>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(body(&find(&platform, &name).await?)))
}

async fn readme(
    State(platform): State<Platform>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let found = find(&platform, &name).await?;
    let origin = match found.source.as_str() {
        "built-in" => "Built into this platform.".to_owned(),
        "local" => "It is in this platform's data directory, below `buildpacks`.".to_owned(),
        url => format!("Fetched from {url} by each build that uses it."),
    };
    let content = format!("{}. {origin}", found.description);
    Ok(Json(json!({ "encoding": "utf8", "content": content })))
}

/// A built-in buildpack has the platform's version; of any other it is only known what is newest.
async fn revisions(
    State(platform): State<Platform>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let found = find(&platform, &name).await?;
    let is_built_in = found.source == "built-in";
    Ok(Json(json!([{
        "release": if is_built_in { env!("CARGO_PKG_VERSION") } else { "newest" },
        "created_at": "2026-01-01T00:00:00Z",
        "status": "published",
        "license": if is_built_in { Some("Apache-2.0") } else { None },
    }])))
}

async fn find(platform: &Platform, name: &str) -> Result<KnownBuildpack, Refusal> {
    let known = platform.known_buildpacks().await?;
    known
        .into_iter()
        .find(|buildpack| buildpack.name == name)
        .ok_or(Refusal::Unknown("buildpack"))
}

/// `in[name][]=python`, `in[namespace][]=heroku`, `like[description]=sites`; brackets may be
/// percent-encoded.
fn is_wanted(buildpack: &KnownBuildpack, query: &str) -> bool {
    let (space, name) = parts(buildpack);
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .all(|part| {
            let part = part.replace("%5B", "[").replace("%5D", "]");
            match part.split_once('=') {
                Some(("in[name][]", wanted)) => wanted == name,
                Some(("in[namespace][]", wanted)) => wanted == space,
                Some(("like[description]", wanted)) => buildpack
                    .description
                    .to_ascii_lowercase()
                    .contains(&wanted.to_ascii_lowercase()),
                _ => true,
            }
        })
}

fn parts(buildpack: &KnownBuildpack) -> (&str, &str) {
    buildpack.name.split_once('/').unwrap_or_default()
}

fn body(buildpack: &KnownBuildpack) -> Value {
    let (space, name) = parts(buildpack);
    json!({
        "id": lasting_id("buildpack", &buildpack.name),
        "namespace": space,
        "name": name,
        "category": "languages",
        "description": buildpack.description,
        "blob_url": format!("urn:buildpack:{}", buildpack.name),
        "logo": null,
        "support": { "method": "operator", "address": "Whoever runs this platform" },
        "source": { "type": buildpack.source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, expected: &[&str]) {
        let known = [
            ("heroku/nodejs", "Node.js apps"),
            ("heroku/static", "Static site apps"),
            ("acme/own", "A buildpack of this platform's operator"),
        ]
        .map(|(name, description)| KnownBuildpack {
            name: name.to_owned(),
            description: description.to_owned(),
            source: "built-in".to_owned(),
        });
        let found = known.iter().filter(|buildpack| is_wanted(buildpack, query));
        assert_eq!(
            found
                .map(|buildpack| parts(buildpack).1)
                .collect::<Vec<_>>(),
            expected,
            "{query}"
        );
    }

    #[test]
    fn searches() {
        check("", &["nodejs", "static", "own"]);
        check("in[name][]=static", &["static"]);
        check("in%5Bnamespace%5D%5B%5D=heroku", &["nodejs", "static"]);
        check("like[description]=SITE", &["static"]);
        check("in[namespace][]=other", &[]);
    }
}
