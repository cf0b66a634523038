//! `/account/app-transfers`.

use api::{
    app_transfers::{AppTransfer, AppTransferUpdate, NewAppTransfer},
    references::UserReference,
};
use axum::{Json, extract::State, response::Response};
use http::StatusCode;
use platform::{Platform, authorize::Action};

use super::{
    apps,
    error::Refusal,
    extract::{Body, By, Path, Wanted, With},
    range,
    route::Route,
};

const PATH: &str = "/account/app-transfers";
const ONE: &str = "/account/app-transfers/{transfer}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, Action::ListApps, list),
        Route::post(PATH, Action::TransferApps, create),
        Route::get(ONE, Action::ListApps, show),
        Route::patch(ONE, Action::TransferApps, answer),
        Route::delete(ONE, Action::TransferApps, withdraw),
    ]
}

async fn list(
    State(platform): State<Platform>,
    By(caller): By,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let mut bodies = Vec::new();
    for offer in platform.app_transfers(&caller).await? {
        bodies.push(body(&platform, offer).await?);
    }
    Ok(range::list(&bodies, &range, &["id", "created_at"]))
}

async fn create(
    State(platform): State<Platform>,
    With(bearer): With,
    Body(new): Body<NewAppTransfer>,
) -> Result<(StatusCode, Json<AppTransfer>), Refusal> {
    let offer = platform.offer_app(&bearer, &new).await?;
    let shown = body(&platform, offer).await?;
    Ok((StatusCode::CREATED, Json(shown)))
}

async fn show(
    State(platform): State<Platform>,
    By(caller): By,
    Path(transfer): Path<String>,
) -> Result<Json<AppTransfer>, Refusal> {
    let offer = platform.app_transfer(&caller, &transfer).await?;
    Ok(Json(body(&platform, offer).await?))
}

async fn answer(
    State(platform): State<Platform>,
    By(caller): By,
    Path(transfer): Path<String>,
    Body(update): Body<AppTransferUpdate>,
) -> Result<Json<AppTransfer>, Refusal> {
    let offer = platform
        .answer_app_transfer(&caller, &transfer, &update.state)
        .await?;
    Ok(Json(body(&platform, offer).await?))
}

async fn withdraw(
    State(platform): State<Platform>,
    By(caller): By,
    Path(transfer): Path<String>,
) -> Result<Json<AppTransfer>, Refusal> {
    let offer = platform.withdraw_app_transfer(&caller, &transfer).await?;
    Ok(Json(body(&platform, offer).await?))
}

pub(super) async fn body(
    platform: &Platform,
    offer: store::AppTransfer,
) -> Result<AppTransfer, Refusal> {
    let app = platform.app(&offer.app.to_string()).await?;
    let person = async |id| {
        let email = platform.account(id).await?.email;
        Ok::<_, Refusal>(UserReference { id, email })
    };
    Ok(AppTransfer {
        app: apps::reference(&app),
        created_at: offer.created_at,
        id: offer.id,
        owner: person(offer.owner).await?,
        recipient: person(offer.recipient).await?,
        state: offer.state.to_string(),
        updated_at: offer.updated_at,
    })
}
