//! `/apps/{app}/releases`: deploy a slug, roll back, list.

use std::collections::BTreeSet;

use api::{
    ids::SlugId,
    references::{SlugReference, UserReference},
    releases::{Artifact, NewRelease, Release, ReleaseIdentity, ReleaseStatus},
};
use axum::{Json, extract::State, response::Response};
use http::StatusCode;
use platform::{Platform, authorize::Action};
use serde::Deserialize;
use store::App;

use super::{
    apps,
    error::Refusal,
    extract::{Body, By, Of, Path, Wanted},
    range,
    route::Route,
    streams,
};

const PATH: &str = "/apps/{app}/releases";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, Action::ReadApp, list),
        Route::post(PATH, Action::Deploy, create),
        Route::get("/apps/{app}/releases/{release}", Action::ReadApp, show),
    ]
}

#[derive(Deserialize)]
struct ReleasePath {
    release: String,
}

async fn list(
    State(platform): State<Platform>,
    Of(app): Of,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let emails = platform.emails().await?;
    let removed = platform.removed_slugs(app.id).await?;
    let rows = platform.releases(app.id).await?.into_iter();
    let body = |row: store::Release| {
        let email = emails.get(&row.account).cloned().unwrap_or_default();
        body(&platform, (&app, &removed), row, email)
    };
    let bodies: Vec<Release> = rows.map(body).collect();
    Ok(range::list(
        &bodies,
        &range,
        &["id", "version", "created_at", "updated_at"],
    ))
}

async fn show(
    State(platform): State<Platform>,
    Of(app): Of,
    Path(path): Path<ReleasePath>,
) -> Result<Json<Release>, Refusal> {
    let row = platform.release(app.id, &path.release).await?;
    let account = platform.account(row.account).await?;
    let removed = platform.removed_slugs(app.id).await?;
    Ok(Json(body(&platform, (&app, &removed), row, account.email)))
}

async fn create(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Body(new): Body<NewRelease>,
) -> Result<(StatusCode, Json<Release>), Refusal> {
    let row = match (new.release, new.slug) {
        (Some(release), _) => {
            let release = match release {
                ReleaseIdentity::Version(version) => version.to_string(),
                ReleaseIdentity::Text(text) => text,
            };
            platform.rollback(&caller, app.id, &release).await?
        }
        (None, Some(slug)) => {
            let slug: SlugId = slug.parse().map_err(|_| Refusal::Unknown("slug"))?;
            platform
                .create_release(&caller, app.id, slug, new.description)
                .await?
        }
        (None, None) => {
            let message = "Give the slug to release or the release to roll back to.";
            return Err(Refusal::UnexpectedBody(message.to_owned()));
        }
    };
    let of = (&app, &BTreeSet::new());
    Ok((
        StatusCode::CREATED,
        Json(body(&platform, of, row, caller.email)),
    ))
}

pub(super) fn body(
    platform: &Platform,
    (app, removed): (&App, &BTreeSet<SlugId>),
    row: store::Release,
    email: String,
) -> Release {
    let status = match row.status {
        store::ReleaseStatus::Pending => ReleaseStatus::Pending,
        store::ReleaseStatus::Succeeded => ReleaseStatus::Succeeded,
        store::ReleaseStatus::Failed => ReleaseStatus::Failed,
    };
    let artifact = |id| Artifact {
        kind: "slug".to_owned(),
        id,
    };
    Release {
        addon_plan_names: Vec::new(),
        artifacts: row.slug.map(artifact).into_iter().collect(),
        app: apps::reference(app),
        created_at: row.created_at,
        description: row.description,
        id: row.id,
        updated_at: row.updated_at,
        slug: row.slug.map(|id| SlugReference { id }),
        status,
        user: UserReference {
            id: row.account,
            email,
        },
        version: row.version,
        current: row.is_current,
        output_stream_url: row
            .output_stream
            .then(|| streams::url(platform.settings(), row.id.as_uuid())),
        eligible_for_rollback: row.slug.is_some_and(|slug| !removed.contains(&slug))
            && status == ReleaseStatus::Succeeded,
    }
}
