//! `/teams` and `/teams/{team}`.

use api::teams::{NewTeam, Team, TeamUpdate};
use axum::{Json, extract::State, response::Response};
use http::StatusCode;
use platform::{Caller, Platform, authorize::Action};
use store::TeamRole;

use super::{
    error::Refusal,
    extract::{Body, By, OfTeam, Wanted},
    range,
    route::Route,
};

const PATH: &str = "/teams";
const ONE: &str = "/teams/{team}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, Action::ListTeams, list),
        Route::post(PATH, Action::CreateTeam, create),
        Route::get(ONE, Action::ReadTeam, show),
        Route::patch(ONE, Action::UpdateTeam, update),
        Route::delete(ONE, Action::DeleteTeam, delete),
    ]
}

async fn list(
    State(platform): State<Platform>,
    By(caller): By,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let teams = platform.teams(&caller).await?.into_iter();
    let bodies: Vec<Team> = teams.map(|(team, role)| body(team, role)).collect();
    Ok(range::list(
        &bodies,
        &range,
        &["id", "name", "created_at", "updated_at"],
    ))
}

async fn create(
    State(platform): State<Platform>,
    By(caller): By,
    Body(new): Body<NewTeam>,
) -> Result<(StatusCode, Json<Team>), Refusal> {
    let team = platform.create_team(&caller, &new).await?;
    let shown = shown(&platform, &caller, team).await?;
    Ok((StatusCode::CREATED, shown))
}

async fn show(
    State(platform): State<Platform>,
    By(caller): By,
    OfTeam(team): OfTeam,
) -> Result<Json<Team>, Refusal> {
    shown(&platform, &caller, team).await
}

async fn update(
    State(platform): State<Platform>,
    By(caller): By,
    OfTeam(team): OfTeam,
    Body(update): Body<TeamUpdate>,
) -> Result<Json<Team>, Refusal> {
    let team = platform.update_team(&caller, &team, update).await?;
    shown(&platform, &caller, team).await
}

async fn delete(
    State(platform): State<Platform>,
    By(caller): By,
    OfTeam(team): OfTeam,
) -> Result<Json<Team>, Refusal> {
    let role = platform.team_role(&caller, team.id).await?;
    let gone = platform.delete_team(&caller, &team).await?;
    Ok(Json(body(gone, role)))
}

async fn shown(
    platform: &Platform,
    caller: &Caller,
    team: store::Team,
) -> Result<Json<Team>, Refusal> {
    let role = platform.team_role(caller, team.id).await?;
    Ok(Json(body(team, role)))
}

fn body(team: store::Team, role: Option<TeamRole>) -> Team {
    Team {
        created_at: team.created_at,
        credit_card_collections: false,
        default: false,
        enterprise_account: None,
        id: team.id,
        identity_provider: None,
        membership_limit: None,
        name: team.name,
        provisioned_licenses: false,
        role: role.map(|role| role.to_string()),
        kind: "team".to_owned(),
        updated_at: team.updated_at,
    }
}
