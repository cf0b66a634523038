//! `/apps/{app}/acm`: automatic certificates, on, off and again. `/apps/{app}/tls`: what an app asks
//! of its clients, our own addition.

use api::{
    apps::App,
    tls::{AppTls, ClientAuthority, Hsts},
};
use axum::{Json, extract::State};
use http::StatusCode;
use platform::{Platform, authorize::Action};
use serde::{Deserialize, Deserializer};

use super::{
    apps::with_owner,
    error::Refusal,
    extract::{Body, By, Of},
    route::Route,
};

const ACM: &str = "/apps/{app}/acm";
const TLS: &str = "/apps/{app}/tls";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(ACM, Action::UpdateApp, enable),
        Route::patch(ACM, Action::UpdateApp, refresh),
        Route::delete(ACM, Action::UpdateApp, disable),
        Route::get(TLS, Action::ReadApp, show),
        Route::patch(TLS, Action::UpdateApp, update),
    ]
}

/// What is left out stays, `null` takes it away.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::option_option, reason = "left out and null differ")]
struct Update {
    redirect: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    hsts: Option<Option<Hsts>>,
    #[serde(default, deserialize_with = "given")]
    client_authority: Option<Option<ClientAuthority>>,
}

#[expect(clippy::option_option, reason = "left out and null differ")]
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

async fn enable(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
) -> Result<(StatusCode, Json<App>), Refusal> {
    let app = platform.enable_acm(&caller, &app).await?;
    Ok((StatusCode::CREATED, with_owner(&platform, app).await?))
}

async fn refresh(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
) -> Result<Json<App>, Refusal> {
    let app = platform.refresh_acm(&caller, &app).await?;
    with_owner(&platform, app).await
}

async fn disable(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
) -> Result<Json<App>, Refusal> {
    let app = platform.disable_acm(&caller, &app).await?;
    with_owner(&platform, app).await
}

async fn show(Of(app): Of) -> Json<AppTls> {
    Json(app.tls)
}

async fn update(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Body(update): Body<Update>,
) -> Result<Json<AppTls>, Refusal> {
    let present = app.tls.clone();
    let tls = AppTls {
        redirect: update.redirect.unwrap_or(present.redirect),
        hsts: update.hsts.unwrap_or(present.hsts),
        client_authority: update.client_authority.unwrap_or(present.client_authority),
    };
    let app = platform.set_app_tls(&caller, &app, tls).await?;
    Ok(Json(app.tls))
}
