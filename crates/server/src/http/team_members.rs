//! `/teams/{team}/members` and `/teams/{team}/permissions`.

use api::team_members::{NewTeamMember, TeamMember, TeamUser};
use axum::{Json, extract::State, response::Response};
use http::StatusCode;
use platform::{Platform, authorize::Action};
use serde::Deserialize;
use serde_json::{Value, json};
use store::Account;

use super::{
    apps,
    error::Refusal,
    extract::{Body, By, OfTeam, Path, Wanted, With},
    range,
    route::Route,
    team_apps,
};

const PATH: &str = "/teams/{team}/members";
const ONE: &str = "/teams/{team}/members/{member}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, Action::ReadTeamMembers, list),
        Route::put(PATH, Action::UpdateTeamMembers, set),
        Route::post(PATH, Action::UpdateTeamMembers, create),
        Route::patch(PATH, Action::UpdateTeamMembers, set),
        Route::delete(ONE, Action::LeaveTeam, remove),
        Route::get(
            "/teams/{team}/members/{member}/apps",
            Action::ReadTeamMembers,
            apps_of_member,
        ),
        Route::get(
            "/teams/{team}/permissions",
            Action::ReadTeamMembers,
            permissions,
        ),
    ]
}

#[derive(Deserialize)]
struct MemberPath {
    member: String,
}

async fn list(
    State(platform): State<Platform>,
    OfTeam(team): OfTeam,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let rows = platform.team_members(&team).await?.into_iter();
    let bodies: Vec<TeamMember> = rows.map(body).collect();
    Ok(range::list(&bodies, &range, &["id", "email"]))
}

async fn set(
    State(platform): State<Platform>,
    By(caller): By,
    OfTeam(team): OfTeam,
    Body(new): Body<NewTeamMember>,
) -> Result<Json<TeamMember>, Refusal> {
    let member = platform
        .set_team_member(&caller, &team, (&new.email, &new.role))
        .await?;
    Ok(Json(body(member)))
}

async fn create(
    platform: State<Platform>,
    caller: By,
    team: OfTeam,
    new: Body<NewTeamMember>,
) -> Result<(StatusCode, Json<TeamMember>), Refusal> {
    let made = set(platform, caller, team, new).await?;
    Ok((StatusCode::CREATED, made))
}

async fn remove(
    State(platform): State<Platform>,
    With(bearer): With,
    OfTeam(team): OfTeam,
    Path(path): Path<MemberPath>,
) -> Result<Json<TeamMember>, Refusal> {
    let gone = platform
        .remove_team_member(&bearer, &team, &path.member)
        .await?;
    Ok(Json(body(gone)))
}

async fn apps_of_member(
    State(platform): State<Platform>,
    By(caller): By,
    OfTeam(team): OfTeam,
    Path(path): Path<MemberPath>,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let (_, account) = platform.team_member(&team, &path.member).await?;
    let joined = platform.joined(account.id).await?;
    let mut rows = platform.apps_of_team(&team).await?;
    rows.retain(|app| joined.contains(&app.id));
    let bodies = team_apps::bodies(&platform, &caller, rows).await?;
    Ok(range::list(&bodies, &range, &["id", "name"]))
}

async fn permissions(
    State(platform): State<Platform>,
    OfTeam(team): OfTeam,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let rows = platform.team_permissions(&team).await?.into_iter();
    let bodies: Vec<Value> = rows
        .map(|(app, users)| {
            let users = users.into_iter().map(|(account, permissions)| {
                json!({ "email": account.email, "id": account.id, "permissions": permissions })
            });
            json!({
                "id": app.id,
                "name": apps::reference(&app).name,
                "team_id": team.id,
                "type": "app",
                "users": users.collect::<Vec<_>>(),
            })
        })
        .collect();
    Ok(range::list(&bodies, &range, &["id", "name"]))
}

/// A person, as teams show one.
pub(super) fn user(account: &Account) -> TeamUser {
    TeamUser {
        email: account.email.clone(),
        id: account.id,
        name: account.name.clone(),
    }
}

pub(super) fn body((member, account): (store::TeamMember, Account)) -> TeamMember {
    TeamMember {
        created_at: member.created_at,
        email: account.email.clone(),
        federated: false,
        id: member.id,
        identity_provider: None,
        role: member.role.to_string(),
        two_factor_authentication: account.has_two_factor,
        updated_at: member.updated_at,
        user: user(&account),
    }
}
