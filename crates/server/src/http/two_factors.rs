//! `/account/two-factor`: an own addition, because Heroku's clients only ask for codes.

use axum::{Json, extract::State};
use http::StatusCode;
use platform::{Caller, Platform, authorize::Action};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    HttpState,
    error::Refusal,
    extract::{Body, By},
    route::Route,
};

const PATH: &str = "/account/two-factor";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(PATH, Action::ReadAccount, show),
        Route::post(PATH, Action::UpdateAccount, begin),
        Route::delete(PATH, Action::UpdateAccount, disable),
        Route::post(
            "/account/two-factor/actions/confirm",
            Action::UpdateAccount,
            confirm,
        ),
        Route::post(
            "/account/two-factor/actions/renew-recovery-codes",
            Action::UpdateAccount,
            renew,
        ),
    ]
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

async fn show(State(platform): State<Platform>, By(caller): By) -> Result<Json<Value>, Refusal> {
    let state = platform.two_factor_state(&caller).await?;
    Ok(Json(json!({
        "enabled": state.is_enabled,
        "recovery_codes_left": state.recovery_codes_left,
    })))
}

async fn begin(
    State(platform): State<Platform>,
    By(caller): By,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let new = platform.begin_two_factor(&caller).await?;
    let shown = json!({ "secret": new.secret, "otpauth_url": new.otpauth_url });
    Ok((StatusCode::CREATED, Json(shown)))
}

async fn confirm(
    State(state): State<HttpState>,
    By(caller): By,
    Body(shown): Body<Code>,
) -> Result<Json<Value>, Refusal> {
    take_try(&state, &caller)?;
    let codes = state
        .platform
        .confirm_two_factor(&caller, &shown.code)
        .await?;
    Ok(Json(json!({ "recovery_codes": codes })))
}

async fn renew(
    State(state): State<HttpState>,
    By(caller): By,
    Body(shown): Body<Code>,
) -> Result<Json<Value>, Refusal> {
    take_try(&state, &caller)?;
    let codes = state
        .platform
        .renew_recovery_codes(&caller, &shown.code)
        .await?;
    Ok(Json(json!({ "recovery_codes": codes })))
}

async fn disable(
    State(state): State<HttpState>,
    By(caller): By,
    Body(shown): Body<Code>,
) -> Result<Json<Value>, Refusal> {
    take_try(&state, &caller)?;
    state
        .platform
        .disable_two_factor(&caller, &shown.code)
        .await?;
    show(State(state.platform), By(caller)).await
}

/// A code has six digits: nobody may try many.
pub(super) fn take_try(state: &HttpState, caller: &Caller) -> Result<(), Refusal> {
    let key = caller.account.to_string();
    state.codes.take(&key, state.platform.now(), true)?;
    Ok(())
}
