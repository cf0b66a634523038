//! Resources of the Platform API that nobody has here yet: empty lists, and 404 for one of them,
//! in the words clients act on. Each leaves this file when it gets one of its own.

use axum::response::Response;
use platform::authorize::Action::{ListApps, ReadAccount, ReadApp, ReadCatalogue, UpdateApp};

use super::{error::Refusal, extract::Wanted, range, route::Route};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/account/features", ReadAccount, nobody),
        Route::get("/account/features/{feature}", ReadAccount, no_feature),
        Route::get("/addon-attachments", ListApps, nobody),
        Route::get("/addon-services", ReadCatalogue, nobody),
        Route::get("/addons", ListApps, nobody),
        Route::get("/addons/{addon}", ListApps, no_addon),
        Route::post(
            "/actions/addon-attachments/resolve",
            ListApps,
            no_attachment,
        ),
        Route::post("/actions/addons/resolve", ListApps, no_addon),
        Route::get("/apps/{app}/addon-attachments", ReadApp, nobody),
        Route::get(
            "/apps/{app}/addon-attachments/{attachment}",
            ReadApp,
            no_attachment,
        ),
        Route::get("/apps/{app}/addons", ReadApp, nobody),
        Route::get("/apps/{app}/addons/{addon}", ReadApp, no_addon),
        Route::post("/apps/{app}/addons", UpdateApp, no_addon_service),
        Route::get("/apps/{app}/log-drains", ReadApp, nobody),
        Route::get("/apps/{app}/pipeline-couplings", ReadApp, no_coupling),
        Route::get("/apps/{app}/review-app", ReadApp, no_review_app),
        Route::get("/apps/{app}/webhooks", ReadApp, nobody),
        Route::get("/favorites", ReadAccount, nobody),
        Route::get("/pipelines", ListApps, nobody),
        Route::get("/pipelines/{pipeline}", ListApps, no_pipeline),
        Route::get("/spaces", ListApps, nobody),
    ]
}

async fn nobody(Wanted(range): Wanted) -> Response {
    range::list::<()>(&[], &range, &["id"])
}

async fn no_addon() -> Refusal {
    Refusal::Unknown("add_on")
}

async fn no_addon_service() -> Refusal {
    Refusal::Unknown("add_on service")
}

async fn no_attachment() -> Refusal {
    Refusal::Unknown("add_on attachment")
}

async fn no_coupling() -> Refusal {
    Refusal::Unknown("pipeline coupling")
}

async fn no_feature() -> Refusal {
    Refusal::Unknown("feature")
}

async fn no_pipeline() -> Refusal {
    Refusal::Unknown("pipeline")
}

async fn no_review_app() -> Refusal {
    Refusal::Unknown("review_app")
}
