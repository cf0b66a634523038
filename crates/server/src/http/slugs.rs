//! `/apps/{app}/slugs/{slug}`.

use api::{
    paths,
    references::NameReference,
    slugs::{Slug, SlugBlob},
};
use axum::{Json, extract::State};
use platform::{Platform, Settings, authorize::Action};
use serde::Deserialize;

use super::{
    error::Refusal,
    extract::{Of, Path},
    route::Route,
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/apps/{app}/slugs/{slug}", Action::ReadApp, show),
        Route::post("/apps/{app}/slugs", Action::Deploy, create),
    ]
}

#[derive(Deserialize)]
struct SlugPath {
    slug: String,
}

async fn show(
    State(platform): State<Platform>,
    Of(app): Of,
    Path(path): Path<SlugPath>,
) -> Result<Json<Slug>, Refusal> {
    let row = platform.slug(&app, &path.slug).await?;
    Ok(Json(body(platform.settings(), row)))
}

async fn create(Of(_): Of) -> Refusal {
    let message = "Slugs are made by builds here: upload the source with POST /sources and use \
                   POST /apps/{app}/builds.";
    Refusal::UnexpectedBody(message.to_owned())
}

fn body(settings: &Settings, row: store::Slug) -> Slug {
    let secret = settings.secret_for("slug", &row.id.to_string());
    let url = format!("{}{}", settings.api_url, paths::slug_blob(row.id, &secret));
    Slug {
        blob: SlugBlob {
            method: "get".to_owned(),
            url,
        },
        buildpack_provided_description: Some(row.language),
        checksum: Some(row.checksum),
        commit: row.commit,
        commit_description: None,
        created_at: row.created_at,
        process_types: row
            .process_types
            .into_iter()
            .map(|(process_type, command)| (process_type.to_string(), command))
            .collect(),
        id: row.id,
        size: Some(row.size_bytes),
        stack: NameReference::new("stack", row.stack.as_str()),
        updated_at: row.created_at,
        deleted_at: None,
    }
}
