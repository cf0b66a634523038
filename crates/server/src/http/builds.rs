//! `/apps/{app}/builds` and `/apps/{app}/build-cache`.

use api::{
    buildpack_installations::Buildpack,
    builds::{Build, BuildApp, BuildStatus, NewBuild, SourceBlob},
    references::{ReleaseReference, SlugReference, UserReference},
};
use axum::{Json, extract::State, response::Response};
use http::StatusCode;
use platform::{
    Platform,
    authorize::Action,
    build_records::{cause, cause_told},
    builds::Wish,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    error::Refusal,
    extract::{Body, By, Of, Path, Wanted},
    generations, range,
    route::Route,
    streams,
};

const PATH: &str = "/apps/{app}/builds";
const ONE: &str = "/apps/{app}/builds/{build}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(PATH, Action::Deploy, create),
        Route::get(PATH, Action::ReadApp, list),
        Route::get(ONE, Action::ReadApp, show),
        Route::delete(ONE, Action::Deploy, cancel),
        Route::delete("/apps/{app}/build-cache", Action::Deploy, purge_cache),
    ]
}

#[derive(Deserialize)]
pub(super) struct BuildPath {
    /// Its number or id.
    pub(super) build: String,
}

async fn create(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Body(new): Body<NewBuild>,
) -> Result<(StatusCode, Json<Build>), Refusal> {
    let wish = Wish {
        source_url: new.source_blob.url,
        version: new.source_blob.version,
        checksum: new.source_blob.checksum,
        buildpacks: new
            .buildpacks
            .unwrap_or_default()
            .into_iter()
            .map(|buildpack| {
                if buildpack.url.is_empty() {
                    buildpack.name
                } else {
                    buildpack.url
                }
            })
            .collect(),
        cause: cause_told(new.cause),
        phases: new.phases,
    };
    let build = platform.create_build(&caller, app.id, wish).await?;
    Ok((
        StatusCode::CREATED,
        Json(body(&platform, build, caller.email)),
    ))
}

async fn list(
    State(platform): State<Platform>,
    Of(app): Of,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let emails = platform.emails().await?;
    let builds = platform.builds(app.id).await?.into_iter();
    let body = |build: store::Build| {
        let email = emails.get(&build.account).cloned().unwrap_or_default();
        body(&platform, build, email)
    };
    let bodies: Vec<Build> = builds.map(body).collect();
    Ok(range::list(
        &bodies,
        &range,
        &["id", "created_at", "updated_at"],
    ))
}

async fn show(
    State(platform): State<Platform>,
    Of(app): Of,
    Path(path): Path<BuildPath>,
) -> Result<Json<Build>, Refusal> {
    let build = platform.find_build(app.id, &path.build).await?;
    with_user(&platform, build).await
}

async fn cancel(
    State(platform): State<Platform>,
    Of(app): Of,
    Path(path): Path<BuildPath>,
) -> Result<Json<Build>, Refusal> {
    let build = platform.cancel_build(app.id, &path.build).await?;
    with_user(&platform, build).await
}

/// Layers are found by what they were made from, so there is nothing that could be stale.
async fn purge_cache(Of(_): Of) -> Json<Value> {
    Json(json!({}))
}

async fn with_user(platform: &Platform, build: store::Build) -> Result<Json<Build>, Refusal> {
    let account = platform.account(build.account).await?;
    Ok(Json(body(platform, build, account.email)))
}

pub(super) fn body(platform: &Platform, build: store::Build, email: String) -> Build {
    let buildpack = |url: String| Buildpack {
        name: url.clone(),
        url,
    };
    Build {
        app: BuildApp { id: build.app },
        buildpacks: Some(build.buildpacks.into_iter().map(buildpack).collect()),
        created_at: build.created_at,
        generation: generations::NAME.to_owned(),
        id: build.id,
        number: build.number,
        cause: Some(cause(build.cause)),
        output_stream_url: streams::url(platform.settings(), build.id.as_uuid()),
        source_blob: SourceBlob {
            checksum: None,
            url: build.source_url.unwrap_or_default(),
            version: build.commit,
            version_description: None,
        },
        release: build.release.map(|id| ReleaseReference { id }),
        slug: build.slug.map(|id| SlugReference { id }),
        stack: build.stack.to_string(),
        status: match build.status {
            store::BuildStatus::Pending => BuildStatus::Pending,
            store::BuildStatus::Succeeded => BuildStatus::Succeeded,
            store::BuildStatus::Failed => BuildStatus::Failed,
        },
        updated_at: build.updated_at,
        user: UserReference {
            id: build.account,
            email,
        },
    }
}
