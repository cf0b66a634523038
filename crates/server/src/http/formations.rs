//! `/apps/{app}/formation`: how many dynos, of which size.

use api::{
    formations::{Formation, FormationUpdate, FormationUpdates, Quantity, SizeIdentity},
    references::{NameReference, lasting_id},
};
use axum::{Json, extract::State, response::Response};
use platform::{
    Caller, Platform,
    authorize::{Action, Bearer, Target},
    formations::Scaling,
    registry::ImageChange,
    sizes::Sizes,
};
use serde::Deserialize;
use store::App;

use super::{
    apps,
    error::Refusal,
    extract::{Body, Of, Path, Wanted, With},
    range,
    route::Route,
};

const PATH: &str = "/apps/{app}/formation";
const ONE: &str = "/apps/{app}/formation/{type}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, Action::ReadApp, list),
        Route::patch(PATH, Action::Scale, update_all),
        Route::get(ONE, Action::ReadApp, show),
        Route::patch(ONE, Action::Scale, update_one),
    ]
}

#[derive(Deserialize)]
struct TypePath {
    r#type: String,
}

async fn list(
    State(platform): State<Platform>,
    Of(app): Of,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let rows = platform.formation(app.id).await?.into_iter();
    let bodies: Vec<Formation> = rows.map(|row| body(&app, row)).collect();
    Ok(range::list(
        &bodies,
        &range,
        &["id", "type", "created_at", "updated_at"],
    ))
}

async fn show(
    State(platform): State<Platform>,
    Of(app): Of,
    Path(path): Path<TypePath>,
) -> Result<Json<Formation>, Refusal> {
    let rows = platform.formation(app.id).await?;
    let row = find(&rows, &path.r#type)
        .cloned()
        .ok_or(Refusal::Unknown("formation"))?;
    Ok(Json(body(&app, row)))
}

async fn update_all(
    State(platform): State<Platform>,
    With(bearer): With,
    Of(app): Of,
    Body(updates): Body<FormationUpdates>,
) -> Result<Json<Vec<Formation>>, Refusal> {
    let updates = &updates.updates;
    Ok(Json(update(&platform, &bearer, &app, updates).await?))
}

async fn update_one(
    State(platform): State<Platform>,
    With(bearer): With,
    Of(app): Of,
    Path(path): Path<TypePath>,
    Body(mut one): Body<FormationUpdate>,
) -> Result<Json<Formation>, Refusal> {
    one.process_type = path.r#type;
    let mut changed = update(&platform, &bearer, &app, &[one]).await?;
    changed.pop().map(Json).ok_or(Refusal::Unknown("formation"))
}

/// Scales, or releases images, which takes the right to deploy. Not both at once: a release may fail.
async fn update(
    platform: &Platform,
    bearer: &Bearer,
    app: &App,
    updates: &[FormationUpdate],
) -> Result<Vec<Formation>, Refusal> {
    if updates.iter().all(|update| update.docker_image.is_none()) {
        return scale(platform, &bearer.caller, app, updates).await;
    }
    platform
        .authorize(Some(bearer), Action::Deploy, Target::App(app))
        .await?;
    let present = platform.formation(app.id).await?;
    let changes: Vec<ImageChange> = updates
        .iter()
        .map(|update| image_change(update, &present))
        .collect::<Result<_, Refusal>>()?;
    let rows = platform
        .release_images(&bearer.caller, app, &changes)
        .await?;
    Ok(rows.into_iter().map(|row| body(app, row)).collect())
}

fn image_change(
    update: &FormationUpdate,
    present: &[store::Formation],
) -> Result<ImageChange, Refusal> {
    let scales = update.quantity.is_some() || update.size.is_some() || update.dyno_size.is_some();
    let Some(image) = update.docker_image.as_ref().filter(|_| !scales) else {
        let refused = "Scaling and releasing images take a request each.".to_owned();
        return Err(Refusal::UnexpectedBody(refused));
    };
    let process_type = match find(present, &update.process_type) {
        Some(row) => row.process_type.clone(),
        None => update
            .process_type
            .parse()
            .map_err(|error: api::names::NameError| Refusal::UnexpectedBody(error.to_string()))?,
    };
    Ok(ImageChange {
        process_type,
        image: image.clone(),
    })
}

async fn scale(
    platform: &Platform,
    caller: &Caller,
    app: &App,
    updates: &[FormationUpdate],
) -> Result<Vec<Formation>, Refusal> {
    let present = platform.formation(app.id).await?;
    let scalings: Vec<Scaling> = updates
        .iter()
        .map(|update| scaling(update, &present, &platform.settings().sizes))
        .collect::<Result<_, Refusal>>()?;
    let changed = platform.update_formation(caller, app.id, &scalings).await?;
    Ok(changed.into_iter().map(|row| body(app, row)).collect())
}

fn scaling(
    update: &FormationUpdate,
    present: &[store::Formation],
    sizes: &Sizes,
) -> Result<Scaling, Refusal> {
    let row = find(present, &update.process_type);
    let quantity = match &update.quantity {
        None => None,
        Some(Quantity::Count(count)) => Some(*count),
        Some(Quantity::Text(text)) => Some(relative(text, row.map_or(0, |row| row.quantity))?),
    };
    let named = update
        .dyno_size
        .as_ref()
        .and_then(|size| size_name(size, sizes));
    Ok(Scaling {
        process_type: row.map_or_else(
            || update.process_type.clone(),
            |row| row.process_type.to_string(),
        ),
        quantity,
        size: update
            .size
            .clone()
            .or(named)
            .filter(|size| !size.is_empty()),
    })
}

/// `2`, or `+1` and `-1` from where it stands.
fn relative(text: &str, present: u32) -> Result<u32, Refusal> {
    let refused = || Refusal::UnexpectedBody(format!("Quantity `{text}` is not a number."));
    let number: i64 = text.trim().parse().map_err(|_| refused())?;
    let is_change = text.trim_start().starts_with(['+', '-']);
    let count = if is_change {
        i64::from(present) + number
    } else {
        number
    };
    u32::try_from(count.max(0)).map_err(|_| refused())
}

fn size_name(size: &SizeIdentity, sizes: &Sizes) -> Option<String> {
    match size {
        SizeIdentity::Name(name)
        | SizeIdentity::Reference {
            name: Some(name), ..
        } => Some(name.clone()),
        SizeIdentity::Reference { id: Some(id), .. } => sizes
            .names()
            .find(|name| lasting_id("dyno-size", name) == *id)
            .map(str::to_owned),
        SizeIdentity::Reference { .. } => None,
    }
}

fn find<'a>(rows: &'a [store::Formation], identity: &str) -> Option<&'a store::Formation> {
    rows.iter()
        .find(|row| row.process_type.as_str() == identity || row.id.to_string() == identity)
}

/// A size as clients show it: `Standard-1X`, `Performance-L-RAM`.
pub(super) fn shown_size(size: &str) -> String {
    size.split('-')
        .map(|word| match word {
            "ram" => "RAM".to_owned(),
            word if word.ends_with('x') || word == "xl" || word == "2xl" || word.len() == 1 => {
                word.to_ascii_uppercase()
            }
            word => {
                let mut letters = word.chars();
                letters.next().map_or_else(String::new, |first| {
                    first.to_uppercase().collect::<String>() + letters.as_str()
                })
            }
        })
        .collect::<Vec<_>>()
        .join("-")
}

fn body(app: &App, row: store::Formation) -> Formation {
    Formation {
        app: apps::reference(app),
        command: row.command,
        created_at: row.created_at,
        dyno_size: NameReference::new("dyno-size", row.size.as_str()),
        id: row.id,
        quantity: row.quantity,
        size: shown_size(&row.size),
        process_type: row.process_type,
        updated_at: row.updated_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_as_heroku_writes_them() {
        let shown: Vec<String> = Sizes::default().names().map(shown_size).collect();
        assert_eq!(
            shown.join(" "),
            "Eco Basic Standard-1X Standard-2X Performance-M Performance-L Performance-L-RAM \
             Performance-XL Performance-2XL"
        );
    }

    #[test]
    fn quantities() {
        for (text, expected) in [
            ("2", Some(2)),
            ("+1", Some(4)),
            ("-1", Some(2)),
            ("-9", Some(0)),
        ] {
            assert_eq!(relative(text, 3).ok(), expected, "{text}");
        }
        assert!(relative("x", 3).is_err());
    }
}
