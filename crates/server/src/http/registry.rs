//! `/v2/`: the registry, as the OCI distribution specification 1.1 has it, for `docker push` and
//! `docker pull` of `APP/PROCESS_TYPE`.
//!
//! Docker's way of signing in is `Basic` with a token as password, as everywhere here: the guard
//! asks for it. Read [`routes`]; `platform::registry` decides.

mod refusal;

use api::names::ProcessType;
use axum::{
    Json,
    body::{Body, to_bytes},
    extract::{Query, Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use platform::{
    Platform,
    authorize::Action,
    registry::{MAX_MANIFEST_BYTES, RegistryError, Repository, UploadPath},
};
use serde::Deserialize;
use serde_json::json;
use store::App;
use tokio_util::io::ReaderStream;

use self::refusal::Refused;
use super::{
    error::Refusal,
    extract::{By, Of, Path, With},
    route::Route,
};

const UPLOADS: &str = "/v2/{app}/{process_type}/blobs/uploads/";
const UPLOAD: &str = "/v2/{app}/{process_type}/blobs/uploads/{upload}";
const BLOB: &str = "/v2/{app}/{process_type}/blobs/{digest}";
const MANIFEST: &str = "/v2/{app}/{process_type}/manifests/{reference}";
/// Says which version this is, for older clients.
const VERSION: (&str, &str) = ("docker-distribution-api-version", "registry/2.0");

type Answer = Result<Response, Refused>;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v2/", Action::ReadAccount, version),
        Route::post(UPLOADS, Action::Deploy, begin_upload),
        Route::get(UPLOAD, Action::Deploy, show_upload),
        Route::patch(UPLOAD, Action::Deploy, append_upload),
        Route::put(UPLOAD, Action::Deploy, finish_upload),
        Route::delete(UPLOAD, Action::Deploy, cancel_upload),
        Route::get(BLOB, Action::ReadCode, blob),
        Route::get(MANIFEST, Action::ReadCode, manifest),
        Route::put(MANIFEST, Action::Deploy, put_manifest),
        Route::delete(MANIFEST, Action::Deploy, delete_manifest),
        Route::get("/v2/{app}/{process_type}/tags/list", Action::ReadCode, tags),
        Route::get(
            "/v2/{app}/{process_type}/referrers/{digest}",
            Action::ReadCode,
            referrers,
        ),
    ]
}

#[derive(Deserialize)]
struct Names {
    process_type: ProcessType,
    /// Of an upload, a blob or a manifest.
    #[serde(alias = "upload", alias = "digest", alias = "reference", default)]
    item: String,
}

impl Names {
    fn repository(&self, app: App) -> Repository {
        Repository {
            app,
            process_type: self.process_type.clone(),
        }
    }

    /// The path of something in the repository, for `Location`.
    fn path(&self, app: &App, rest: &str) -> String {
        format!("/v2/{}/{}/{rest}", app.name, self.process_type)
    }
}

#[derive(Default, Deserialize)]
struct UploadQuery {
    digest: Option<String>,
    mount: Option<String>,
    from: Option<String>,
}

impl UploadQuery {
    /// One that cannot be read asks for nothing.
    fn of(request: &Request) -> Self {
        Query::try_from_uri(request.uri()).map_or_else(|_| Self::default(), |Query(query)| query)
    }
}

async fn version() -> Response {
    answer(StatusCode::OK, &[], Json(json!({})))
}

async fn begin_upload(
    State(platform): State<Platform>,
    With(bearer): With,
    Of(app): Of,
    Path(names): Path<Names>,
    request: Request,
) -> Answer {
    let query = UploadQuery::of(&request);
    if let (Some(digest), Some(from)) = (&query.mount, &query.from)
        && platform.mount_blob(&bearer, &app, (from, digest)).await?
    {
        return Ok(created(
            &names.path(&app, &format!("blobs/{digest}")),
            digest,
        ));
    }
    let upload = platform.begin_upload(&app).await?.to_string();
    if let Some(digest) = &query.digest {
        let path = UploadPath {
            app: app.clone(),
            upload,
        };
        let chunks = request.into_body().into_data_stream();
        let digest = platform
            .finish_upload(&bearer.caller, &path, digest, chunks)
            .await?;
        let place = names.path(&app, &format!("blobs/{digest}"));
        return Ok(created(&place, digest.as_str()));
    }
    let place = names.path(&app, &format!("blobs/uploads/{upload}"));
    Ok(goes_on(StatusCode::ACCEPTED, &place, (&upload, 0)))
}

async fn show_upload(
    State(platform): State<Platform>,
    Of(app): Of,
    Path(names): Path<Names>,
) -> Answer {
    let place = names.path(&app, &format!("blobs/uploads/{}", names.item));
    let path = UploadPath {
        app,
        upload: names.item.clone(),
    };
    let length = platform.upload_length(&path).await?;
    Ok(goes_on(
        StatusCode::NO_CONTENT,
        &place,
        (&names.item, length),
    ))
}

async fn append_upload(
    State(platform): State<Platform>,
    Of(app): Of,
    Path(names): Path<Names>,
    request: Request,
) -> Answer {
    let place = names.path(&app, &format!("blobs/uploads/{}", names.item));
    let from = first_byte(request.headers());
    let path = UploadPath {
        app,
        upload: names.item.clone(),
    };
    let chunks = request.into_body().into_data_stream();
    let length = platform.append_upload(&path, from, chunks).await?;
    Ok(goes_on(StatusCode::ACCEPTED, &place, (&names.item, length)))
}

async fn finish_upload(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Path(names): Path<Names>,
    request: Request,
) -> Answer {
    let query = UploadQuery::of(&request);
    let path = UploadPath {
        app: app.clone(),
        upload: names.item.clone(),
    };
    let digest = query.digest.unwrap_or_default();
    let chunks = request.into_body().into_data_stream();
    let digest = platform
        .finish_upload(&caller, &path, &digest, chunks)
        .await?;
    let place = names.path(&app, &format!("blobs/{digest}"));
    Ok(created(&place, digest.as_str()))
}

async fn cancel_upload(
    State(platform): State<Platform>,
    Of(app): Of,
    Path(names): Path<Names>,
) -> Answer {
    let path = UploadPath {
        app,
        upload: names.item,
    };
    platform.cancel_upload(&path).await?;
    Ok(answer(StatusCode::NO_CONTENT, &[], ()))
}

async fn blob(State(platform): State<Platform>, Of(app): Of, Path(names): Path<Names>) -> Answer {
    let (size, path) = platform.registry_blob(&app, &names.item).await?;
    let file = tokio::fs::File::open(path).await;
    let file = file.map_err(|_| RegistryError::BlobUnknown)?;
    let headers = [
        ("content-length", size.to_string()),
        ("content-type", "application/octet-stream".to_owned()),
        ("docker-content-digest", names.item),
    ];
    let body = Body::from_stream(ReaderStream::new(file));
    Ok(answer(StatusCode::OK, &headers, body))
}

async fn manifest(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Path(names): Path<Names>,
) -> Answer {
    let repository = names.repository(app);
    let manifest = platform.manifest(&caller, &repository, &names.item).await?;
    let headers = [
        ("content-length", manifest.bytes.len().to_string()),
        ("content-type", manifest.media_type),
        ("docker-content-digest", manifest.digest.to_string()),
    ];
    Ok(answer(StatusCode::OK, &headers, manifest.bytes))
}

async fn put_manifest(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Path(names): Path<Names>,
    request: Request,
) -> Answer {
    let media_type = request.headers().get(header::CONTENT_TYPE);
    let media_type = media_type.and_then(|kind| kind.to_str().ok());
    let media_type = media_type.unwrap_or_default().to_owned();
    let bytes = to_bytes(request.into_body(), MAX_MANIFEST_BYTES).await;
    let bytes = bytes.map_err(|_| {
        RegistryError::TooLarge(format!("a manifest has {MAX_MANIFEST_BYTES} bytes at most"))
    })?;
    let repository = names.repository(app.clone());
    let (digest, subject) = platform
        .put_manifest(&caller, &repository, &names.item, (&media_type, &bytes))
        .await?;
    let place = names.path(&app, &format!("manifests/{digest}"));
    let mut response = created(&place, digest.as_str());
    if let Some(subject) = subject {
        // Says that referrers are known here, so that the client need not keep a list of its own.
        put_header(&mut response, "oci-subject", subject.as_str());
    }
    Ok(response)
}

async fn delete_manifest(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Path(names): Path<Names>,
) -> Answer {
    let repository = names.repository(app);
    platform
        .delete_manifest(&caller, &repository, &names.item)
        .await?;
    Ok(answer(StatusCode::ACCEPTED, &[], ()))
}

async fn tags(State(platform): State<Platform>, Of(app): Of, Path(names): Path<Names>) -> Answer {
    let name = format!("{}/{}", app.name, names.process_type);
    let tags = platform.tags(&names.repository(app)).await?;
    let body = json!({ "name": name, "tags": tags });
    Ok(answer(StatusCode::OK, &[], Json(body)))
}

async fn referrers(
    State(platform): State<Platform>,
    Of(app): Of,
    Path(names): Path<Names>,
) -> Answer {
    let index = platform
        .referrers(&names.repository(app), &names.item)
        .await?;
    let media_type = index.media_type.clone().unwrap_or_default();
    let headers = [("content-type", media_type)];
    Ok(answer(StatusCode::OK, &headers, Json(index)))
}

/// `Content-Range: 0-1023`, or with `bytes ` before it; where the sender thinks it goes on.
fn first_byte(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let range = range.trim_start_matches("bytes").trim_start();
    range.split('-').next()?.trim().parse().ok()
}

fn goes_on(status: StatusCode, place: &str, (upload, length): (&str, u64)) -> Response {
    let headers = [
        ("location", place.to_owned()),
        ("range", format!("0-{}", length.saturating_sub(1))),
        ("docker-upload-uuid", upload.to_owned()),
    ];
    answer(status, &headers, ())
}

fn created(place: &str, digest: &str) -> Response {
    let headers = [
        ("location", place.to_owned()),
        ("docker-content-digest", digest.to_owned()),
    ];
    answer(StatusCode::CREATED, &headers, ())
}

fn answer(
    status: StatusCode,
    headers: &[(&'static str, String)],
    body: impl IntoResponse,
) -> Response {
    let mut response = (status, body).into_response();
    put_header(&mut response, VERSION.0, VERSION.1);
    for (name, value) in headers {
        put_header(&mut response, name, value);
    }
    response
}

fn put_header(response: &mut Response, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_uploads() {
        let check = |text: &str, expected: Option<u64>| {
            let headers = HeaderMap::from_iter([(header::CONTENT_RANGE, text.parse().unwrap())]);
            assert_eq!(first_byte(&headers), expected, "{text}");
        };
        check("0-1023", Some(0));
        check("bytes 1024-2047/*", Some(1024));
        check("nonsense", None);
    }
}
