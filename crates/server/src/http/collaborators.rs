//! `/apps/{app}/collaborators`.

use api::collaborators::{
    Collaborator, CollaboratorUpdate, CollaboratorUser, NewCollaborator, Permission, Role,
};
use axum::{Json, extract::State, response::Response};
use http::StatusCode;
use platform::{Platform, authorize::Action};
use serde::Deserialize;
use store::{Account, App, CollaboratorRole};

use super::{
    apps,
    error::Refusal,
    extract::{Body, By, Of, Path, Wanted, With},
    range,
    route::Route,
};

const PATH: &str = "/apps/{app}/collaborators";
const ONE: &str = "/apps/{app}/collaborators/{collaborator}";

const OF_TEAM: &str = "/teams/apps/{app}/collaborators";
const ONE_OF_TEAM: &str = "/teams/apps/{app}/collaborators/{collaborator}";

/// Heroku's permissions, in the order in which people read them.
const PERMISSIONS: [(store::Permission, &str); 4] = [
    (
        store::Permission::View,
        "See the app, its releases and dynos",
    ),
    (store::Permission::Deploy, "Change its code and config vars"),
    (
        store::Permission::Operate,
        "Scale and restart it, and read its log",
    ),
    (
        store::Permission::Manage,
        "Choose collaborators, rename, transfer and delete it",
    ),
];

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, Action::ReadApp, list),
        Route::post(PATH, Action::UpdateCollaborators, add),
        Route::get(ONE, Action::ReadApp, show),
        Route::delete(ONE, Action::LeaveApp, remove),
        Route::get(OF_TEAM, Action::ReadApp, list),
        Route::post(OF_TEAM, Action::JoinApp, add),
        Route::get(ONE_OF_TEAM, Action::ReadApp, show),
        Route::patch(ONE_OF_TEAM, Action::UpdateCollaborators, update),
        Route::delete(ONE_OF_TEAM, Action::LeaveApp, remove),
        Route::get("/teams/permissions", Action::ReadCatalogue, permissions),
    ]
}

#[derive(Deserialize)]
struct CollaboratorPath {
    collaborator: String,
}

async fn list(
    State(platform): State<Platform>,
    Of(app): Of,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let rows = platform.collaborators(&app).await?.into_iter();
    let bodies: Vec<_> = rows.map(|row| body(&app, row)).collect();
    Ok(range::list(
        &bodies,
        &range,
        &["id", "created_at", "updated_at"],
    ))
}

async fn add(
    State(platform): State<Platform>,
    With(bearer): With,
    Of(app): Of,
    Body(new): Body<NewCollaborator>,
) -> Result<(StatusCode, Json<Collaborator>), Refusal> {
    let wanted = (new.user.as_str(), new.permissions.as_deref());
    let row = platform.add_collaborator(&bearer, &app, wanted).await?;
    Ok((StatusCode::CREATED, Json(body(&app, row))))
}

async fn show(
    State(platform): State<Platform>,
    Of(app): Of,
    Path(path): Path<CollaboratorPath>,
) -> Result<Json<Collaborator>, Refusal> {
    Ok(Json(body(
        &app,
        platform.collaborator(&app, &path.collaborator).await?,
    )))
}

async fn remove(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Path(path): Path<CollaboratorPath>,
) -> Result<Json<Collaborator>, Refusal> {
    Ok(Json(body(
        &app,
        platform
            .remove_collaborator(&caller, &app, &path.collaborator)
            .await?,
    )))
}

async fn update(
    State(platform): State<Platform>,
    By(caller): By,
    Of(app): Of,
    Path(path): Path<CollaboratorPath>,
    Body(update): Body<CollaboratorUpdate>,
) -> Result<Json<Collaborator>, Refusal> {
    let named = (path.collaborator.as_str(), update.permissions.as_slice());
    let row = platform.update_collaborator(&caller, &app, named).await?;
    Ok(Json(body(&app, row)))
}

/// What permissions there are.
async fn permissions(Wanted(range): Wanted) -> Response {
    let all: Vec<Permission> = PERMISSIONS.into_iter().map(shown).collect();
    range::list(&all, &range, &["name"])
}

fn shown((permission, description): (store::Permission, &str)) -> Permission {
    Permission {
        name: permission.to_string(),
        description: description.to_owned(),
    }
}

fn body(app: &App, (row, account): (store::Collaborator, Account)) -> Collaborator {
    let given = PERMISSIONS.into_iter();
    Collaborator {
        app: apps::reference(app),
        created_at: row.created_at,
        id: row.id,
        permissions: given
            .filter(|(permission, _)| row.permissions.contains(permission))
            .map(shown)
            .collect(),
        role: match row.role {
            CollaboratorRole::Owner => Role::Owner,
            CollaboratorRole::Admin => Role::Admin,
            CollaboratorRole::Member => Role::Member,
            CollaboratorRole::Collaborator => Role::Collaborator,
        },
        updated_at: row.updated_at,
        user: CollaboratorUser {
            email: account.email,
            federated: false,
            id: account.id,
        },
    }
}
