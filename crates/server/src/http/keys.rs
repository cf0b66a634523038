//! `/account/keys`.

use api::keys::{Key, NewKey};
use axum::{Json, extract::State, response::Response};
use http::StatusCode;
use platform::{Platform, authorize::Action};

use super::{
    error::Refusal,
    extract::{Body, By, Path, Wanted},
    range,
    route::Route,
};

const PATH: &str = "/account/keys";
const ONE: &str = "/account/keys/{key}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, Action::ReadAccount, list),
        Route::post(PATH, Action::UpdateKeys, create),
        Route::get(ONE, Action::ReadAccount, show),
        Route::delete(ONE, Action::UpdateKeys, delete),
    ]
}

async fn list(
    State(platform): State<Platform>,
    By(caller): By,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let keys = platform.keys(&caller).await?;
    let bodies: Vec<Key> = keys.into_iter().map(body).collect();
    Ok(range::list(&bodies, &range, &["id", "fingerprint"]))
}

async fn create(
    State(platform): State<Platform>,
    By(caller): By,
    Body(new): Body<NewKey>,
) -> Result<(StatusCode, Json<Key>), Refusal> {
    let key = platform.create_key(&caller, &new.public_key).await?;
    Ok((StatusCode::CREATED, Json(body(key))))
}

async fn show(
    State(platform): State<Platform>,
    By(caller): By,
    Path(key): Path<String>,
) -> Result<Json<Key>, Refusal> {
    Ok(Json(body(platform.key(&caller, &key).await?)))
}

async fn delete(
    State(platform): State<Platform>,
    By(caller): By,
    Path(key): Path<String>,
) -> Result<Json<Key>, Refusal> {
    Ok(Json(body(platform.delete_key(&caller, &key).await?)))
}

fn body(key: store::Key) -> Key {
    Key {
        email: key.comment.clone(),
        comment: key.comment,
        created_at: key.created_at,
        fingerprint: key.md5,
        id: key.id,
        public_key: key.public_key,
        updated_at: key.created_at,
    }
}
