//! `/apps/{app}/slugs`, and a slug's archive at its secret URL.

use api::{
    references::NameReference,
    slugs::{NewSlug, Slug, SlugBlob},
};
use axum::{
    Json,
    extract::{Request, State},
    response::Response,
};
use http::{HeaderValue, StatusCode, header};
use platform::{Platform, authorize::Action, slugs::SlugUpload};
use serde::Deserialize;
use tokio_util::io::ReaderStream;

use super::{
    authenticate,
    error::Refusal,
    extract::{Body, By, Of, Path},
    route::{self, Route},
    streams,
};

const BLOB: &str = "/slugs/{slug}/{secret}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/apps/{app}/slugs/{slug}", Action::ReadCode, show),
        Route::post("/apps/{app}/slugs", Action::Deploy, create),
        Route::put(BLOB, Action::UseSecretUrl, upload),
        Route::get(BLOB, Action::UseSecretUrl, download),
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
    let blob = SlugBlob {
        method: "GET".to_owned(),
        url: platform.slug_url(row.id),
    };
    Ok(Json(body(blob, row)))
}

async fn create(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Body(new): Body<NewSlug>,
) -> Result<(StatusCode, Json<Slug>), Refusal> {
    let row = platform.create_slug(&caller, &app, new).await?;
    let blob = SlugBlob {
        method: "PUT".to_owned(),
        url: platform.slug_upload_url(row.id),
    };
    Ok((StatusCode::CREATED, Json(body(blob, row))))
}

async fn upload(
    State(platform): State<Platform>,
    Path(path): Path<(String, String)>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let upload = by_secret(path, &request);
    let chunks = request.into_body().into_data_stream();
    platform.receive_slug(&upload, chunks).await?;
    Ok(StatusCode::OK)
}

async fn download(
    State(platform): State<Platform>,
    Path(path): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    let path = platform.slug_archive(&by_secret(path, &request)).await?;
    let file = tokio::fs::File::open(path).await.map_err(Refusal::Upload)?;
    let mut response = streams::bytes(ReaderStream::new(file));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    Ok(response)
}

fn by_secret((slug, secret): (String, String), request: &Request) -> SlugUpload {
    SlugUpload {
        slug,
        secret,
        origin: authenticate::origin(request),
        request_id: route::request_id(request),
    }
}

fn body(blob: SlugBlob, row: store::Slug) -> Slug {
    let said = |text: String| Some(text).filter(|text| !text.is_empty());
    Slug {
        blob,
        buildpack_provided_description: said(row.language),
        checksum: said(row.checksum),
        commit: row.commit,
        commit_description: row.commit_description,
        created_at: row.created_at,
        process_types: row
            .process_types
            .into_iter()
            .map(|(process_type, command)| (process_type.to_string(), command))
            .collect(),
        id: row.id,
        size: (!row.awaits_archive).then_some(row.size_bytes),
        stack: NameReference::new("stack", row.stack.as_str()),
        updated_at: row.updated_at,
        deleted_at: None,
    }
}
