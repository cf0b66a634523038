//! `/teams/{team}/invitations`, `/teams/invitations/{token}`, and the page where the invited join.

use api::{
    references::{NameReference, lasting_id},
    team_invitations::{InvitedUser, TeamInvitation},
    team_members::{NewTeamMember, TeamMember},
};
use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use platform::{Platform, authorize::Action};
use serde::Deserialize;
use store::Team;

use super::{
    HttpState, authenticate,
    error::Refusal,
    extract::{Body, By, OfTeam, Path, Wanted},
    pages::{self, Field},
    range,
    route::Route,
    team_members,
};

const PATH: &str = "/teams/{team}/invitations";
const BY_TOKEN: &str = "/teams/invitations/{token}";
const PAGE: &str = "/invitations/{token}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, Action::ReadTeamMembers, list),
        Route::put(PATH, Action::UpdateTeamMembers, invite),
        Route::delete(
            "/teams/{team}/invitations/{invitation}",
            Action::UpdateTeamMembers,
            revoke,
        ),
        Route::get(BY_TOKEN, Action::ReadAccount, show),
        Route::post(
            "/teams/invitations/{token}/accept",
            Action::UpdateAccount,
            accept,
        ),
        Route::get(PAGE, Action::UseSecretUrl, page),
        Route::post(PAGE, Action::UseSecretUrl, join),
    ]
}

async fn list(
    State(platform): State<Platform>,
    OfTeam(team): OfTeam,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let mut bodies = Vec::new();
    for row in platform.team_invitations(&team).await? {
        bodies.push(body(&platform, &team, row).await?);
    }
    Ok(range::list(&bodies, &range, &["id"]))
}

async fn invite(
    State(platform): State<Platform>,
    By(caller): By,
    OfTeam(team): OfTeam,
    Body(new): Body<NewTeamMember>,
) -> Result<Json<TeamInvitation>, Refusal> {
    let (row, token) = platform
        .invite_to_team(&caller, &team, (&new.email, &new.role))
        .await?;
    let mut shown = body(&platform, &team, row).await?;
    shown.accept_url = Some(format!(
        "{}/invitations/{token}",
        platform.settings().api_url
    ));
    shown.token = Some(token);
    Ok(Json(shown))
}

#[derive(Deserialize)]
struct InvitationPath {
    invitation: String,
}

async fn revoke(
    State(platform): State<Platform>,
    By(caller): By,
    OfTeam(team): OfTeam,
    Path(path): Path<InvitationPath>,
) -> Result<Json<TeamInvitation>, Refusal> {
    let row = platform
        .revoke_team_invitation(&caller, &team, &path.invitation)
        .await?;
    Ok(Json(body(&platform, &team, row).await?))
}

async fn show(
    State(platform): State<Platform>,
    Path(token): Path<String>,
) -> Result<Json<TeamInvitation>, Refusal> {
    let (row, team) = platform.invitation_of(&token).await?;
    Ok(Json(body(&platform, &team, row).await?))
}

async fn accept(
    State(platform): State<Platform>,
    By(caller): By,
    Path(token): Path<String>,
) -> Result<(StatusCode, Json<TeamMember>), Refusal> {
    let member = platform.accept_invitation(&caller, &token).await?;
    Ok((StatusCode::CREATED, Json(team_members::body(member))))
}

async fn page(
    State(platform): State<Platform>,
    Path(token): Path<String>,
) -> Result<Response, Refusal> {
    let (row, team) = platform.invitation_of(&token).await?;
    Ok(form(&row.email, team.name.as_str(), "").into_response())
}

fn form(email: &str, team: &str, fault: &str) -> axum::response::Html<String> {
    let what = format!(
        "You are invited to the team {team} as {email}. Choose a password of at least 12 characters. \
         Have you an account already? Then sign in with the terminal and accept the invitation there."
    );
    pages::form("Join", (&what, fault), &[Field::NewPassword])
}

async fn join(
    State(state): State<HttpState>,
    Path(token): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let origin = authenticate::origin(&request);
    state
        .sign_in_origins
        .take(&origin, state.platform.now(), true)?;
    let (row, team) = state.platform.invitation_of(&token).await?;
    let fields = pages::fields(request).await?;
    match state
        .platform
        .join_with_password(&token, fields.new_password)
        .await
    {
        Ok(_) => Ok(pages::said("You are in", "Sign in with heroku login.").into_response()),
        Err(platform::Error::Invalid { message }) => {
            let page = form(&row.email, team.name.as_str(), &message);
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

async fn body(
    platform: &Platform,
    team: &Team,
    row: store::TeamInvitation,
) -> Result<TeamInvitation, Refusal> {
    let invited_by = platform.account(row.invited_by).await?;
    let known = platform.account_of(&row.email).await?;
    Ok(TeamInvitation {
        accept_url: None,
        created_at: row.created_at,
        id: row.id,
        invited_by: team_members::user(&invited_by),
        role: row.role.to_string(),
        team: NameReference {
            id: team.id.as_uuid(),
            name: team.name.to_string(),
        },
        token: None,
        updated_at: row.updated_at,
        user: InvitedUser {
            id: known
                .as_ref()
                .map_or_else(|| lasting_id("user", &row.email), |a| a.id.as_uuid()),
            name: known.and_then(|account| account.name),
            email: row.email,
        },
    })
}
