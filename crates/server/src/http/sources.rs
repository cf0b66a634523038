//! `/sources`, and the uploaded archive at the source's secret URL.

use api::sources::Source;
use axum::{
    Json,
    extract::{Request, State},
    response::Response,
};
use http::StatusCode;
use platform::{Platform, authorize::Action};
use tokio_util::io::ReaderStream;

use super::{
    error::Refusal,
    extract::{By, Of, Path},
    route::Route,
    streams,
};

const BLOB: &str = "/sources/{source}/{secret}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/sources", Action::CreateSource, create),
        Route::post("/apps/{app}/sources", Action::Deploy, create_of_app),
        Route::put(BLOB, Action::UseSecretUrl, upload),
        Route::get(BLOB, Action::UseSecretUrl, download),
    ]
}

async fn create(
    State(platform): State<Platform>,
    By(caller): By,
) -> Result<(StatusCode, Json<Source>), Refusal> {
    Ok((
        StatusCode::CREATED,
        Json(platform.create_source(&caller).await?),
    ))
}

async fn create_of_app(
    platform: State<Platform>,
    by: By,
    Of(_): Of,
) -> Result<(StatusCode, Json<Source>), Refusal> {
    create(platform, by).await
}

async fn upload(
    State(platform): State<Platform>,
    Path((source, secret)): Path<(String, String)>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let chunks = request.into_body().into_data_stream();
    platform.receive_source(&source, &secret, chunks).await?;
    Ok(StatusCode::OK)
}

async fn download(
    State(platform): State<Platform>,
    Path((source, secret)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let (_, path) = platform.uploaded_source(&source, &secret).await?;
    let file = tokio::fs::File::open(path).await.map_err(Refusal::Upload)?;
    Ok(streams::bytes(ReaderStream::new(file)))
}
