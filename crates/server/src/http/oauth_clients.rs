//! `/oauth/clients`.

use api::oauth_clients::{NewOauthClient, OauthClient, OauthClientUpdate};
use axum::{Json, extract::State, response::Response};
use http::StatusCode;
use platform::{Platform, authorize::Action};

use super::{
    error::Refusal,
    extract::{Body, By, Path, Wanted},
    range,
    route::Route,
};

const PATH: &str = "/oauth/clients";
const ONE: &str = "/oauth/clients/{client}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, Action::ReadAuthorizations, list),
        Route::post(PATH, Action::UpdateAuthorizations, create),
        Route::get(ONE, Action::ReadAuthorizations, show),
        Route::patch(ONE, Action::UpdateAuthorizations, update),
        Route::delete(ONE, Action::UpdateAuthorizations, delete),
        Route::post(
            "/oauth/clients/{client}/actions/rotate-credentials",
            Action::UpdateAuthorizations,
            rotate,
        ),
    ]
}

async fn list(
    State(platform): State<Platform>,
    By(caller): By,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let mut bodies = Vec::new();
    for client in platform.oauth_clients(&caller).await? {
        bodies.push(body(&platform, client)?);
    }
    Ok(range::list(&bodies, &range, &["id", "created_at"]))
}

async fn create(
    State(platform): State<Platform>,
    By(caller): By,
    Body(new): Body<NewOauthClient>,
) -> Result<(StatusCode, Json<OauthClient>), Refusal> {
    let client = platform.create_oauth_client(&caller, &new).await?;
    Ok((StatusCode::CREATED, Json(body(&platform, client)?)))
}

async fn show(
    State(platform): State<Platform>,
    By(caller): By,
    Path(id): Path<String>,
) -> Result<Json<OauthClient>, Refusal> {
    let client = platform.own_oauth_client(&caller, &id).await?;
    Ok(Json(body(&platform, client)?))
}

async fn update(
    State(platform): State<Platform>,
    By(caller): By,
    Path(id): Path<String>,
    Body(update): Body<OauthClientUpdate>,
) -> Result<Json<OauthClient>, Refusal> {
    let client = platform.update_oauth_client(&caller, &id, update).await?;
    Ok(Json(body(&platform, client)?))
}

async fn rotate(
    State(platform): State<Platform>,
    By(caller): By,
    Path(id): Path<String>,
) -> Result<Json<OauthClient>, Refusal> {
    let client = platform.rotate_oauth_client(&caller, &id).await?;
    Ok(Json(body(&platform, client)?))
}

async fn delete(
    State(platform): State<Platform>,
    By(caller): By,
    Path(id): Path<String>,
) -> Result<Json<OauthClient>, Refusal> {
    let client = platform.delete_oauth_client(&caller, &id).await?;
    Ok(Json(body(&platform, client)?))
}

fn body(platform: &Platform, client: store::OauthClient) -> Result<OauthClient, Refusal> {
    Ok(OauthClient {
        secret: platform.oauth_client_secret(&client)?,
        created_at: client.created_at,
        id: client.id,
        ignores_delinquent: None,
        name: client.name,
        redirect_uri: client.redirect_uri,
        updated_at: client.updated_at,
    })
}
