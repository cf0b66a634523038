//! `/apps/{app}/domains`.

use api::{
    domains::{Domain, DomainKind, DomainUpdate, NewDomain},
    references::NameReference,
};
use axum::{Json, extract::State, response::Response};
use http::StatusCode;
use platform::{Platform, authorize::Action};
use serde::Deserialize;
use store::{AcmDomain, App};

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
        Route::patch(ONE, Action::UpdateApp, update),
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
    let rows = platform.domains(&app).await?;
    let bodies = bodies(&platform, &app, rows).await?;
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
    Ok((StatusCode::CREATED, one(&platform, &app, row).await?))
}

async fn show(
    State(platform): State<Platform>,
    Of(app): Of,
    Path(path): Path<DomainPath>,
) -> Result<Json<Domain>, Refusal> {
    let row = platform.domain(&app, &path.domain).await?;
    one(&platform, &app, row).await
}

async fn remove(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Path(path): Path<DomainPath>,
) -> Result<Json<Domain>, Refusal> {
    let row = platform.domain(&app, &path.domain).await?;
    let shown = one(&platform, &app, row).await?;
    platform.remove_domain(&caller, &app, &path.domain).await?;
    Ok(shown)
}

/// The body is required, and so is its field: without a value, a slip would take a certificate away.
async fn update(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Path(path): Path<DomainPath>,
    Body(update): Body<DomainUpdate>,
) -> Result<Json<Domain>, Refusal> {
    let row = platform
        .update_domain(
            &caller,
            (&app, &path.domain),
            update.sni_endpoint.as_deref(),
        )
        .await?;
    one(&platform, &app, row).await
}

async fn one(platform: &Platform, app: &App, row: store::Domain) -> Result<Json<Domain>, Refusal> {
    let bodies = bodies(platform, app, vec![row]).await?;
    let body = bodies.into_iter().next().expect("one row, one body");
    Ok(Json(body))
}

async fn bodies(
    platform: &Platform,
    app: &App,
    rows: Vec<store::Domain>,
) -> Result<Vec<Domain>, Refusal> {
    let acm = platform.acm_domains(app).await?;
    let endpoints = platform.sni_endpoint_names(app).await?;
    let body = |row: store::Domain| {
        let acm = acm.iter().find(|acm| acm.domain == row.id);
        let name = row.sni_endpoint.and_then(|id| endpoints.get(&id).cloned());
        body(app, row, (acm, name))
    };
    Ok(rows.into_iter().map(body).collect())
}

fn body(
    app: &App,
    row: store::Domain,
    (acm, endpoint): (Option<&AcmDomain>, Option<String>),
) -> Domain {
    Domain {
        acm_status: acm.map(|acm| acm.status.to_string()),
        acm_status_reason: acm.and_then(|acm| acm.reason.clone()),
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
        sni_endpoint: row
            .sni_endpoint
            .zip(endpoint)
            .map(|(id, name)| NameReference {
                id: id.as_uuid(),
                name,
            }),
    }
}
