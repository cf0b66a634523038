//! `/status/notes`: what the operator says on the status page.

use api::{
    references::AppReference,
    status_notes::{NewStatusNote, PostedNote, StatusNote, StatusNoteUpdate},
};
use axum::{Json, extract::State};
use http::StatusCode;
use platform::{Platform, authorize::Action};
use serde::Deserialize;

use super::{
    error::Refusal,
    extract::{Body, By, Path},
    route::Route,
};

const PATH: &str = "/status/notes";
const ONE: &str = "/status/notes/{note}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, Action::UpdateStatusNotes, list),
        Route::post(PATH, Action::UpdateStatusNotes, create),
        Route::patch(ONE, Action::UpdateStatusNotes, update),
        Route::delete(ONE, Action::UpdateStatusNotes, remove),
    ]
}

#[derive(Deserialize)]
struct NotePath {
    note: String,
}

async fn list(State(platform): State<Platform>) -> Result<Json<Vec<StatusNote>>, Refusal> {
    let mut notes = Vec::new();
    for note in platform.status_notes().await? {
        notes.push(body(&platform, note).await?);
    }
    Ok(Json(notes))
}

async fn create(
    State(platform): State<Platform>,
    By(caller): By,
    Body(new): Body<NewStatusNote>,
) -> Result<(StatusCode, Json<StatusNote>), Refusal> {
    let note = platform.create_status_note(&caller, new).await?;
    Ok((StatusCode::CREATED, Json(body(&platform, note).await?)))
}

async fn update(
    State(platform): State<Platform>,
    By(caller): By,
    Path(NotePath { note }): Path<NotePath>,
    Body(update): Body<StatusNoteUpdate>,
) -> Result<Json<StatusNote>, Refusal> {
    let note = platform.update_status_note(&caller, &note, update).await?;
    Ok(Json(body(&platform, note).await?))
}

async fn remove(
    State(platform): State<Platform>,
    By(caller): By,
    Path(NotePath { note }): Path<NotePath>,
) -> Result<Json<StatusNote>, Refusal> {
    let note = platform.delete_status_note(&caller, &note).await?;
    Ok(Json(body(&platform, note).await?))
}

async fn body(platform: &Platform, note: PostedNote) -> Result<StatusNote, Refusal> {
    let app = match note.app {
        Some(app) => {
            let app = platform.app(&app.to_string()).await?;
            Some(AppReference {
                id: app.id,
                name: app.name,
            })
        }
        None => None,
    };
    Ok(StatusNote {
        id: note.id,
        text: note.text,
        severity: note.severity,
        app,
        until: note.until,
        created_at: note.created_at,
        updated_at: note.updated_at,
    })
}
