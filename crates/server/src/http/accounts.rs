//! `/account` and `/users/{account}`, which is the caller: `~`, their email address or id.

use api::accounts::{Account, AccountUpdate};
use axum::{Json, extract::State};
use platform::{Caller, Platform, authorize::Action};

use super::{
    error::Refusal,
    extract::{Body, By, Path},
    route::Route,
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/account", Action::ReadAccount, show),
        Route::patch("/account", Action::UpdateAccount, update),
        Route::get("/users/{account}", Action::ReadAccount, show_named),
        Route::patch("/users/{account}", Action::UpdateAccount, update_named),
    ]
}

async fn show(State(platform): State<Platform>, By(caller): By) -> Result<Json<Account>, Refusal> {
    Ok(Json(body(platform.account(caller.account).await?)))
}

async fn update(
    State(platform): State<Platform>,
    By(caller): By,
    Body(update): Body<AccountUpdate>,
) -> Result<Json<Account>, Refusal> {
    Ok(Json(body(platform.update_account(&caller, update).await?)))
}

async fn show_named(
    platform: State<Platform>,
    By(caller): By,
    Path(account): Path<String>,
) -> Result<Json<Account>, Refusal> {
    check_own(&caller, &account)?;
    show(platform, By(caller)).await
}

async fn update_named(
    platform: State<Platform>,
    By(caller): By,
    Path(account): Path<String>,
    update_body: Body<AccountUpdate>,
) -> Result<Json<Account>, Refusal> {
    check_own(&caller, &account)?;
    update(platform, By(caller), update_body).await
}

/// Everyone sees only themselves.
pub(super) fn check_own(caller: &Caller, identity: &str) -> Result<(), Refusal> {
    let is_own = identity == "~"
        || identity.eq_ignore_ascii_case(&caller.email)
        || identity == caller.account.to_string();
    if is_own {
        Ok(())
    } else {
        Err(Refusal::Unknown("user"))
    }
}

fn body(account: store::Account) -> Account {
    Account {
        allow_tracking: false,
        beta: false,
        country_of_residence: None,
        created_at: account.created_at,
        default_organization: None,
        default_team: None,
        delinquent_at: None,
        email: account.email,
        federated: false,
        id: account.id,
        identity_provider: None,
        last_login: None,
        name: None,
        sms_number: None,
        suspended_at: None,
        two_factor_authentication: false,
        updated_at: account.created_at,
        verified: true,
    }
}
