//! `/apps/{app}/sni-endpoints`: certificates.

use api::sni_endpoints::{NewSniEndpoint, SniEndpoint, SslCertificate};
use axum::{Json, extract::State, response::Response};
use http::StatusCode;
use platform::{Platform, authorize::Action, sni_endpoints::ShownEndpoint};
use serde::Deserialize;
use store::App;

use super::{
    apps,
    error::Refusal,
    extract::{Body, By, Of, Path, Wanted},
    range,
    route::Route,
};

const PATH: &str = "/apps/{app}/sni-endpoints";
const ONE: &str = "/apps/{app}/sni-endpoints/{endpoint}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, Action::ReadApp, list),
        Route::post(PATH, Action::UpdateApp, add),
        Route::get(ONE, Action::ReadApp, show),
        Route::patch(ONE, Action::UpdateApp, update),
        Route::delete(ONE, Action::UpdateApp, remove),
    ]
}

#[derive(Deserialize)]
struct EndpointPath {
    endpoint: String,
}

async fn list(
    State(platform): State<Platform>,
    Of(app): Of,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let rows = platform.sni_endpoints(&app).await?.into_iter();
    let bodies: Vec<SniEndpoint> = rows.map(|row| body(&app, row)).collect();
    Ok(range::list(
        &bodies,
        &range,
        &["id", "name", "created_at", "updated_at"],
    ))
}

async fn add(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Body(new): Body<NewSniEndpoint>,
) -> Result<(StatusCode, Json<SniEndpoint>), Refusal> {
    let row = platform.add_sni_endpoint(&caller, &app, new).await?;
    Ok((StatusCode::CREATED, Json(body(&app, row))))
}

async fn show(
    State(platform): State<Platform>,
    Of(app): Of,
    Path(path): Path<EndpointPath>,
) -> Result<Json<SniEndpoint>, Refusal> {
    let row = platform.sni_endpoint(&app, &path.endpoint).await?;
    Ok(Json(body(&app, row)))
}

async fn update(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Path(path): Path<EndpointPath>,
    Body(new): Body<NewSniEndpoint>,
) -> Result<Json<SniEndpoint>, Refusal> {
    let row = platform
        .update_sni_endpoint(&caller, (&app, &path.endpoint), new)
        .await?;
    Ok(Json(body(&app, row)))
}

async fn remove(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Path(path): Path<EndpointPath>,
) -> Result<Json<SniEndpoint>, Refusal> {
    let row = platform
        .remove_sni_endpoint(&caller, &app, &path.endpoint)
        .await?;
    Ok(Json(body(&app, row)))
}

fn body(app: &App, shown: ShownEndpoint) -> SniEndpoint {
    let ShownEndpoint {
        row,
        contents,
        is_ca_signed,
        domains,
    } = shown;
    SniEndpoint {
        app: apps::reference(app),
        certificate_chain: row.certificate_chain,
        created_at: row.created_at,
        display_name: None,
        domains,
        id: row.id,
        name: row.name,
        ssl_cert: SslCertificate {
            acm: row.is_acm,
            is_ca_signed,
            cert_domains: contents.domains,
            expires_at: contents.expires_at,
            id: row.id,
            is_self_signed: contents.issuer == contents.subject,
            issuer: contents.issuer,
            starts_at: contents.starts_at,
            subject: contents.subject,
        },
        updated_at: row.updated_at,
    }
}
