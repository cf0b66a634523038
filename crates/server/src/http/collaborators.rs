//! `/apps/{app}/collaborators`.

use api::collaborators::{Collaborator, CollaboratorUser, NewCollaborator, Permission, Role};
use axum::{Json, extract::State, response::Response};
use http::StatusCode;
use platform::{Platform, authorize::Action};
use serde::Deserialize;
use store::{Account, App, CollaboratorRole};

use super::{
    apps,
    error::Refusal,
    extract::{Body, By, Of, Path, Wanted},
    range,
    route::Route,
};

const PATH: &str = "/apps/{app}/collaborators";
const ONE: &str = "/apps/{app}/collaborators/{collaborator}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, Action::ReadApp, list),
        Route::post(PATH, Action::UpdateCollaborators, add),
        Route::get(ONE, Action::ReadApp, show),
        Route::delete(ONE, Action::LeaveApp, remove),
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
    By(caller): By,
    Of(app): Of,
    Body(new): Body<NewCollaborator>,
) -> Result<(StatusCode, Json<Collaborator>), Refusal> {
    let row = platform.add_collaborator(&caller, &app, &new.user).await?;
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

fn body(app: &App, (row, account): (store::Collaborator, Account)) -> Collaborator {
    let is_owner = row.role == CollaboratorRole::Owner;
    let permissions: &[(&str, &str)] = &[
        ("view", "See the app"),
        ("deploy", "Deploy to the app"),
        ("operate", "Change config vars and scale the app"),
        ("manage", "Choose collaborators and delete the app"),
    ];
    let given = permissions.iter().take(if is_owner { 4 } else { 3 });
    Collaborator {
        app: apps::reference(app),
        created_at: row.created_at,
        id: row.id,
        permissions: given
            .map(|(name, description)| Permission {
                name: (*name).to_owned(),
                description: (*description).to_owned(),
            })
            .collect(),
        role: if is_owner {
            Role::Owner
        } else {
            Role::Collaborator
        },
        updated_at: row.updated_at,
        user: CollaboratorUser {
            email: account.email,
            federated: false,
            id: account.id,
        },
    }
}
