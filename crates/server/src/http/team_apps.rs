//! `/teams/apps` and `/teams/{team}/apps`.

use api::team_apps::{NewTeamApp, TeamApp, TeamAppUpdate};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use platform::{Caller, Platform, authorize::Action, team_apps::Given};
use store::App;

use super::{
    app_transfers, apps,
    error::Refusal,
    extract::{Body, By, Of, OfTeam, Wanted, With},
    range,
    route::Route,
};

const ONE: &str = "/teams/apps/{app}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/teams/apps", Action::CreateApp, create),
        Route::get(ONE, Action::ReadApp, show),
        Route::patch(ONE, Action::ManageApp, update),
        Route::get("/teams/{team}/apps", Action::ReadTeamMembers, list),
    ]
}

async fn create(
    State(platform): State<Platform>,
    With(bearer): With,
    Body(new): Body<NewTeamApp>,
) -> Result<(StatusCode, Json<TeamApp>), Refusal> {
    let app = platform.create_team_app(&bearer, new).await?;
    let made = one(&platform, &bearer.caller, app).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

async fn show(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
) -> Result<Json<TeamApp>, Refusal> {
    Ok(Json(one(&platform, &caller, app).await?))
}

async fn update(
    State(platform): State<Platform>,
    With(bearer): With,
    Of(app): Of,
    Body(update): Body<TeamAppUpdate>,
) -> Result<Response, Refusal> {
    let mut app = app;
    if let Some(owner) = update.owner {
        match platform.give_app(&bearer, &app, &owner).await? {
            Given::App(given) => app = *given,
            Given::Offer(offer) => {
                let offer = app_transfers::body(&platform, offer).await?;
                return Ok(Json(offer).into_response());
            }
        }
    }
    if let Some(locked) = update.locked {
        app = platform.lock_app(&bearer.caller, &app, locked).await?;
    }
    Ok(Json(one(&platform, &bearer.caller, app).await?).into_response())
}

async fn list(
    State(platform): State<Platform>,
    By(caller): By,
    OfTeam(team): OfTeam,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let rows = platform.apps_of_team(&team).await?;
    let bodies = bodies(&platform, &caller, rows).await?;
    Ok(range::list(&bodies, &range, &["id", "name"]))
}

async fn one(platform: &Platform, caller: &Caller, app: App) -> Result<TeamApp, Refusal> {
    let mut bodies = bodies(platform, caller, vec![app]).await?;
    bodies.pop().ok_or(Refusal::Unknown("app"))
}

/// Team apps as the caller sees them.
pub(super) async fn bodies(
    platform: &Platform,
    caller: &Caller,
    rows: Vec<App>,
) -> Result<Vec<TeamApp>, Refusal> {
    let joined = platform.joined(caller.account).await?;
    let emails = platform.emails().await?;
    let body = |app: App| {
        let owner = emails.get(&app.owner).cloned().unwrap_or_default();
        TeamApp {
            joined: joined.contains(&app.id),
            locked: app.locked,
            app: apps::body(platform, owner, app),
        }
    };
    Ok(rows.into_iter().map(body).collect())
}
