//! `/account` and `/users/{account}`, which is the caller: `~`, their email address or id.

use api::accounts::{Account, AccountUpdate};
use axum::{Json, extract::State};
use platform::{Caller, Platform, authorize::Action};

use super::{
    error::Refusal,
    extract::{Body, By, Path, With},
    route::Route,
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/account", Action::ReadAccount, show),
        Route::patch("/account", Action::UpdateAccount, update),
        Route::delete("/account", Action::UpdateAccount, delete),
        Route::get("/users/{account}", Action::ReadAccount, show_named),
        Route::patch("/users/{account}", Action::UpdateAccount, update_named),
        Route::delete("/users/{account}", Action::UpdateAccount, delete_named),
    ]
}

async fn show(State(platform): State<Platform>, By(caller): By) -> Result<Json<Account>, Refusal> {
    Ok(Json(body(platform.account(caller.account).await?)))
}

async fn update(
    State(platform): State<Platform>,
    With(bearer): With,
    Body(update): Body<AccountUpdate>,
) -> Result<Json<Account>, Refusal> {
    let keep = bearer.authorization;
    let updated = platform.update_account(&bearer.caller, keep, update);
    Ok(Json(body(updated.await?)))
}

async fn delete(
    State(platform): State<Platform>,
    By(caller): By,
) -> Result<Json<Account>, Refusal> {
    Ok(Json(body(platform.delete_account(&caller).await?)))
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
    With(bearer): With,
    Path(account): Path<String>,
    update_body: Body<AccountUpdate>,
) -> Result<Json<Account>, Refusal> {
    check_own(&bearer.caller, &account)?;
    update(platform, With(bearer), update_body).await
}

async fn delete_named(
    platform: State<Platform>,
    By(caller): By,
    Path(account): Path<String>,
) -> Result<Json<Account>, Refusal> {
    check_own(&caller, &account)?;
    delete(platform, By(caller)).await
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

pub(super) fn body(account: store::Account) -> Account {
    Account {
        allow_tracking: account.allow_tracking,
        beta: account.beta,
        country_of_residence: None,
        created_at: account.created_at,
        default_organization: None,
        default_team: None,
        delinquent_at: None,
        email: account.email,
        federated: false,
        id: account.id,
        identity_provider: None,
        last_login: account.last_login,
        name: account.name,
        sms_number: None,
        suspended_at: None,
        two_factor_authentication: account.has_two_factor,
        updated_at: account.updated_at,
        verified: true,
    }
}
