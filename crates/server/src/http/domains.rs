//! `/apps/{app}/domains`.

use api::domains::{Domain, DomainKind, NewDomain};
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
};

const PATH: &str = "/apps/{app}/domains";
const ONE: &str = "/apps/{app}/domains/{domain}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, Action::ReadApp, list),
        Route::post(PATH, Action::UpdateApp, add),
        Route::get(ONE, Action::ReadApp, show),
        Route::delete(ONE, Action::UpdateApp, remove),
    ]
}

#[derive(Deserialize)]
struct DomainPath {
    domain: String,
}

async fn list(
    State(platform): State<Platform>,
    Of(app): Of,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let rows = platform.domains(&app).await?.into_iter();
    let bodies: Vec<Domain> = rows.map(|row| body(&app, row)).collect();
    Ok(range::list(
        &bodies,
        &range,
        &["id", "hostname", "created_at", "updated_at"],
    ))
}

async fn add(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Body(new): Body<NewDomain>,
) -> Result<(StatusCode, Json<Domain>), Refusal> {
    let row = platform.add_domain(&caller, &app, new).await?;
    Ok((StatusCode::CREATED, Json(body(&app, row))))
}

async fn show(
    State(platform): State<Platform>,
    Of(app): Of,
    Path(path): Path<DomainPath>,
) -> Result<Json<Domain>, Refusal> {
    Ok(Json(body(&app, platform.domain(&app, &path.domain).await?)))
}

async fn remove(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Path(path): Path<DomainPath>,
) -> Result<Json<Domain>, Refusal> {
    Ok(Json(body(
        &app,
        platform.remove_domain(&caller, &app, &path.domain).await?,
    )))
}

fn body(app: &App, row: store::Domain) -> Domain {
    Domain {
        acm_status: None,
        acm_status_reason: None,
        app: apps::reference(app),
        cname: row.cname,
        created_at: row.created_at,
        hostname: row.hostname,
        id: row.id,
        kind: match row.kind {
            store::DomainKind::Heroku => DomainKind::Heroku,
            store::DomainKind::Custom => DomainKind::Custom,
        },
        updated_at: row.updated_at,
        status: row.status.to_string(),
        sni_endpoint: None,
    }
}
