//! `/password-resets`, the page behind a reset's link, and `/accounts`, by which the operator makes both.
//!
//! There is no mail: who has forgotten a password asks the operator, who hands them a link.

use api::references::lasting_id;
use axum::{
    Json,
    extract::{Request, State},
    response::{Html, IntoResponse, Response},
};
use http::{HeaderValue, StatusCode};
use platform::{Platform, authorize::Action};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    HttpState, accounts, authenticate,
    error::Refusal,
    extract::{Body, By, Path, Wanted},
    pages::{self, Field},
    range,
    route::Route,
};

const PAGE: &str = "/password-resets/{token}";
const ACCOUNTS: &str = "/accounts";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/password-resets", Action::SignIn, ask),
        Route::post(
            "/password-resets/{token}/actions/finalize",
            Action::UseSecretUrl,
            finish,
        ),
        Route::get(PAGE, Action::UseSecretUrl, page),
        Route::post(PAGE, Action::UseSecretUrl, submit),
        Route::get(ACCOUNTS, Action::ManageAccounts, list),
        Route::post(ACCOUNTS, Action::ManageAccounts, create),
        Route::post(
            "/accounts/{account}/password-resets",
            Action::ManageAccounts,
            reset,
        ),
        Route::delete(
            "/accounts/{account}/two-factor",
            Action::ManageAccounts,
            reset_two_factor,
        ),
    ]
}

#[derive(Deserialize)]
struct Email {
    email: String,
}

/// An answer to who has shown no token, with how often they may ask.
type Counted = (StatusCode, [(&'static str, HeaderValue); 1], Json<Value>);

/// The same answer whether or not anybody has the address, so its id follows from that.
async fn ask(State(state): State<HttpState>, request: Request) -> Result<Counted, Refusal> {
    use axum::extract::FromRequest;
    let origin = authenticate::origin(&request);
    let now = state.platform.now();
    let left = state.sign_in_origins.take(&origin, now, true)?;
    let Body(Email { email }) = Body::from_request(request, &state).await?;
    state
        .sign_ins
        .take(&email.to_ascii_lowercase(), now, true)?;
    state.platform.note_forgotten_password(&email).await?;
    let id = lasting_id("user", &email.to_lowercase());
    let answer = json!({ "created_at": now.to_rfc3339(), "user": { "email": email, "id": id } });
    Ok((StatusCode::CREATED, counted(left), Json(answer)))
}

fn counted(left: u32) -> [(&'static str, HeaderValue); 1] {
    [("ratelimit-remaining", HeaderValue::from(left))]
}

#[derive(Deserialize)]
struct Chosen {
    password: String,
    password_confirmation: String,
}

async fn finish(
    State(state): State<HttpState>,
    Path(token): Path<String>,
    request: Request,
) -> Result<Counted, Refusal> {
    use axum::extract::FromRequest;
    let origin = authenticate::origin(&request);
    let now = state.platform.now();
    let left = state.sign_in_origins.take(&origin, now, true)?;
    let Body(chosen) = Body::<Chosen>::from_request(request, &state).await?;
    if chosen.password != chosen.password_confirmation {
        let message = "The password and its confirmation differ.".to_owned();
        return Err(Refusal::UnexpectedBody(message));
    }
    let account = state
        .platform
        .finish_password_reset(&token, chosen.password)
        .await?;
    let answer = json!({
        "created_at": now.to_rfc3339(),
        "user": { "email": account.email, "id": account.id },
    });
    Ok((StatusCode::OK, counted(left), Json(answer)))
}

async fn page(
    State(platform): State<Platform>,
    Path(token): Path<String>,
) -> Result<Html<String>, Refusal> {
    let account = platform.password_reset_of(&token).await?;
    Ok(form(&account.email, ""))
}

fn form(email: &str, fault: &str) -> Html<String> {
    let what = format!("Choose a new password for {email}, of at least 12 characters.");
    pages::form("Choose a password", (&what, fault), &[Field::NewPassword])
}

async fn submit(
    State(platform): State<Platform>,
    Path(token): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let account = platform.password_reset_of(&token).await?;
    let fields = pages::fields(request).await?;
    match platform
        .finish_password_reset(&token, fields.new_password)
        .await
    {
        Ok(_) => Ok(pages::said("It is set", "Sign in with heroku login.").into_response()),
        Err(platform::Error::Invalid { message }) => {
            let page = form(&account.email, &message);
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

async fn list(
    State(platform): State<Platform>,
    Wanted(range): Wanted,
) -> Result<Response, Refusal> {
    let people = platform.people().await?.into_iter();
    let bodies: Vec<_> = people.map(accounts::body).collect();
    Ok(range::list(&bodies, &range, &["id", "email", "created_at"]))
}

async fn create(
    State(platform): State<Platform>,
    By(caller): By,
    Body(new): Body<Email>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let (account, token) = platform.create_account(&caller, &new.email).await?;
    Ok((StatusCode::CREATED, Json(link(&platform, &account, &token))))
}

async fn reset(
    State(platform): State<Platform>,
    By(caller): By,
    Path(who): Path<String>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let (account, token) = platform.reset_password(&caller, &who).await?;
    Ok((StatusCode::CREATED, Json(link(&platform, &account, &token))))
}

/// What the operator hands on.
fn link(platform: &Platform, account: &store::Account, token: &str) -> Value {
    json!({
        "user": { "email": account.email, "id": account.id },
        "url": format!("{}/password-resets/{token}", platform.settings().api_url),
    })
}

async fn reset_two_factor(
    State(platform): State<Platform>,
    By(caller): By,
    Path(who): Path<String>,
) -> Result<Json<api::accounts::Account>, Refusal> {
    let account = platform.reset_two_factor(&caller, &who).await?;
    Ok(Json(accounts::body(account)))
}
