//! What teams are asked that here has one answer for all: features, preferences, debts and providers of
//! identities.

use axum::{Json, extract::State, response::Response};
use platform::{Platform, authorize::Action};
use serde::Deserialize;
use serde_json::{Value, json};

use api::references::lasting_id;

use super::{
    error::Refusal,
    extract::{Body, By, OfTeam, Path, Wanted},
    range,
    route::Route,
};

/// The one feature: permissions of each person on each app (`heroku access:add -p`).
const FEATURE: &str = "org-access-controls";
const PREFERENCES: &str = "/teams/{team}/preferences";
const PROVIDERS: &str = "/teams/{team}/identity-providers";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/teams/{team}/features", Action::ReadTeam, list),
        Route::get("/teams/{team}/features/{feature}", Action::ReadTeam, show),
        Route::get(PREFERENCES, Action::ReadTeam, preferences),
        Route::patch(PREFERENCES, Action::UpdateTeam, update_preferences),
        Route::get("/teams/{team}/delinquency", Action::ReadTeam, no_debts),
        Route::get(PROVIDERS, Action::ReadTeamMembers, nobody),
        Route::post(PROVIDERS, Action::UpdateTeam, no_provider_to_be),
        Route::patch(
            "/teams/{team}/identity-providers/{provider}",
            Action::UpdateTeam,
            no_provider,
        ),
        Route::delete(
            "/teams/{team}/identity-providers/{provider}",
            Action::UpdateTeam,
            no_provider,
        ),
    ]
}

async fn list(OfTeam(team): OfTeam, Wanted(range): Wanted) -> Response {
    range::list(&[feature(&team)], &range, &["id", "name"])
}

#[derive(Deserialize)]
struct FeaturePath {
    feature: String,
}

async fn show(OfTeam(team): OfTeam, Path(path): Path<FeaturePath>) -> Result<Json<Value>, Refusal> {
    let shown = feature(&team);
    if path.feature == FEATURE || shown["id"] == path.feature {
        Ok(Json(shown))
    } else {
        Err(Refusal::Unknown("feature"))
    }
}

fn feature(team: &store::Team) -> Value {
    let made = team.created_at.to_rfc3339();
    json!({
        "created_at": made,
        "description": "Permissions for each person on each app of the team.",
        "display_name": "Access controls",
        "doc_url": "https://devcenter.heroku.com/articles/app-permissions",
        "enabled": true,
        "feedback_email": "",
        "id": lasting_id("team-feature", FEATURE),
        "name": FEATURE,
        "state": "general",
        "updated_at": made,
    })
}

async fn preferences(OfTeam(team): OfTeam) -> Json<Value> {
    Json(json!({
        "default-permission": team.default_permission,
        "addons-controls": team.addons_controls,
    }))
}

#[derive(Deserialize)]
struct PreferencesUpdate {
    #[serde(rename = "addons-controls")]
    addons_controls: Option<bool>,
}

async fn update_preferences(
    State(platform): State<Platform>,
    By(caller): By,
    OfTeam(team): OfTeam,
    Body(update): Body<PreferencesUpdate>,
) -> Result<Json<Value>, Refusal> {
    let team = platform
        .set_addons_controls(&caller, &team, update.addons_controls)
        .await?;
    Ok(preferences(OfTeam(team)).await)
}

async fn no_debts() -> Json<Value> {
    Json(json!({ "scheduled_suspension_time": null, "scheduled_deletion_time": null }))
}

async fn nobody(Wanted(range): Wanted) -> Response {
    range::list::<()>(&[], &range, &["id"])
}

async fn no_provider_to_be() -> Refusal {
    let message = "There are no identity providers here: people sign in with a password and, if they \
                   set it up, a second factor.";
    Refusal::UnexpectedBody(message.to_owned())
}

async fn no_provider() -> Refusal {
    Refusal::Unknown("identity provider")
}
