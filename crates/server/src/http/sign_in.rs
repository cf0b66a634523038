//! `/auth`: `heroku login` through a browser.
//!
//! The CLI begins a sign-in, opens its page in a browser and waits; the person signs in on that
//! page, and the waiting CLI gets a new token. A sign-in is known by an id in the page's URL and a
//! secret that only the CLI has; it is kept in memory, for ten minutes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use api::{authorizations::NewAuthorization, clock::Time};
use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use platform::{Caller, authorize::Action};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use super::{
    HttpState, authenticate,
    error::Refusal,
    extract::{Body, Path},
    pages::{self, Field, Fields},
    route::{self, Route},
};

/// A sign-in that nobody finished is forgotten.
const LIFETIME: Duration = Duration::from_mins(10);
/// The CLI asks again when it gets no answer in this time.
const PATIENCE: Duration = Duration::from_secs(50);
/// With more at once the oldest is forgotten: whoever begins many must not keep others from it.
const MOST_PENDING: usize = 1000;
/// Longest description, in characters; it says which machine asks.
const LONGEST_DESCRIPTION: usize = 200;
/// Tokens made so last a year, as Heroku's do.
const TOKEN_SECONDS: i64 = 365 * 24 * 3600;

/// Sign-ins that wait for their person. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(super) struct SignIns(Arc<Mutex<HashMap<Uuid, Pending>>>);

#[derive(Clone, Debug)]
struct Pending {
    description: String,
    secret: String,
    begun_at: Time,
    token: watch::Sender<Option<String>>,
}

impl SignIns {
    fn begin(&self, description: &str, now: Time) -> (Uuid, String) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pending.retain(|_, sign_in| now.since(sign_in.begun_at) < LIFETIME);
        if pending.len() >= MOST_PENDING
            && let Some(oldest) = pending.iter().min_by_key(|(_, sign_in)| sign_in.begun_at)
        {
            let oldest = *oldest.0;
            pending.remove(&oldest);
        }
        let (id, secret) = (
            Uuid::new_v4(),
            format!("{}{}", Uuid::new_v4(), Uuid::new_v4()),
        );
        let token = watch::channel(None).0;
        let sign_in = Pending {
            description: description.chars().take(LONGEST_DESCRIPTION).collect(),
            secret: secret.clone(),
            begun_at: now,
            token,
        };
        pending.insert(id, sign_in);
        (id, secret)
    }

    fn find(&self, id: Uuid, now: Time) -> Result<Pending, Refusal> {
        let pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = pending
            .get(&id)
            .filter(|sign_in| now.since(sign_in.begun_at) < LIFETIME);
        found.cloned().ok_or(Refusal::Unknown("sign-in"))
    }

    fn end(&self, id: Uuid) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
    }
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/auth", Action::SignIn, begin),
        Route::get("/auth/browser/{id}", Action::SignIn, page),
        Route::post("/auth/browser/{id}", Action::SignIn, submit),
        Route::get("/auth/cli/{id}", Action::SignIn, wait),
    ]
}

#[derive(Deserialize)]
struct Begin {
    #[serde(default)]
    description: String,
}

async fn begin(
    State(state): State<HttpState>,
    Body(begin): Body<Begin>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let now = state.platform.now();
    let (id, secret) = state.browser_sign_ins.begin(&begin.description, now);
    let urls = json!({
        "browser_url": format!("/auth/browser/{id}"),
        "cli_url": format!("/auth/cli/{id}"),
        "token": secret,
    });
    Ok((StatusCode::CREATED, Json(urls)))
}

async fn page(State(state): State<HttpState>, Path(id): Path<Uuid>) -> Result<Response, Refusal> {
    let sign_in = state.browser_sign_ins.find(id, state.platform.now())?;
    Ok(form(&sign_in.description, "").into_response())
}

async fn submit(
    State(state): State<HttpState>,
    Path(id): Path<Uuid>,
    request: Request,
) -> Result<Response, Refusal> {
    let now = state.platform.now();
    let sign_in = state.browser_sign_ins.find(id, now)?;
    let origin = authenticate::origin(&request);
    let (cause, request_id) = (route::cause(&request), route::request_id(&request));
    let form_fields = pages::fields(request).await?;
    let (account, asks_for_code) = match holder(&state, &form_fields, &origin).await {
        Ok(found) => found,
        Err(Refusal::RateLimited) => return Err(Refusal::RateLimited),
        Err(_) => {
            let page = form(
                &sign_in.description,
                "That email address and password do not fit.",
            );
            return Ok((StatusCode::UNAUTHORIZED, page).into_response());
        }
    };
    let caller = Caller {
        account: account.id,
        email: account.email,
        origin,
        request_id,
        cause,
    };
    let new = NewAuthorization {
        description: Some(sign_in.description.clone()),
        expires_in: Some(TOKEN_SECONDS),
        client: None,
        scope: None,
    };
    if asks_for_code {
        match authenticate::check_code(&state, &caller, &form_fields.code).await {
            Err(Refusal::TwoFactor) => {
                let fault = "A two-factor code is needed; it was missing, wrong or used already.";
                let page = form(&sign_in.description, fault);
                return Ok((StatusCode::UNAUTHORIZED, page).into_response());
            }
            checked => checked?,
        }
    }
    state.platform.note_sign_in(&caller).await?;
    let (_, token) = state
        .platform
        .create_authorization(&caller, new, true)
        .await?;
    sign_in.token.send_replace(Some(token));
    let what = "You can close this page and go back to your terminal.";
    Ok(pages::said("Signed in", what).into_response())
}

/// Whose password or token it is, and whether they are asked for a code: whoever has a token had shown
/// theirs when it was made.
async fn holder(
    state: &HttpState,
    form: &Fields,
    origin: &str,
) -> Result<(store::Account, bool), Refusal> {
    match state.platform.token_holder(&form.password).await? {
        Some((account, grant))
            if account.email.eq_ignore_ascii_case(&form.email)
                && grant.scope.contains(&api::authorizations::Scope::Global) =>
        {
            Ok((account, false))
        }
        _ => {
            let shown = (form.email.as_str(), form.password.as_str());
            let account = authenticate::password_holder(state, shown, origin).await?;
            let asks_for_code = account.has_two_factor;
            Ok((account, asks_for_code))
        }
    }
}

/// The CLI's side. Safe to drop: it comes back with the same secret.
async fn wait(
    State(state): State<HttpState>,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let sign_in = state.browser_sign_ins.find(id, state.platform.now())?;
    let shown = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    if shown != Some(&format!("Bearer {}", sign_in.secret)) {
        return Err(Refusal::NoCredentials);
    }
    let mut token = sign_in.token.subscribe();
    let arrived = tokio::time::timeout(PATIENCE, token.wait_for(Option::is_some)).await;
    let Ok(Ok(token)) = arrived else {
        let message = "Nobody has signed in yet.".to_owned();
        return Err(platform::Error::Unavailable { message }.into());
    };
    state.browser_sign_ins.end(id);
    Ok(Json(json!({ "access_token": *token })))
}

fn form(description: &str, fault: &str) -> axum::response::Html<String> {
    let what =
        format!("{description} asks. Only go on if you have just run heroku login yourself.");
    let fields = [Field::Email, Field::Password, Field::Code];
    pages::form("Sign in", (&what, fault), &fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_sign_ins_keeps_nobody_out() {
        let sign_ins = SignIns::default();
        let at = |micros| Time::from_micros(micros);
        let (first, _) = sign_ins.begin("first", at(0));
        for micros in 1..1500 {
            sign_ins.begin(&"x".repeat(10_000), at(micros));
        }
        let (last, secret) = sign_ins.begin("last", at(1500));
        assert_eq!(sign_ins.find(last, at(1500)).unwrap().secret, secret);
        assert!(sign_ins.find(first, at(1500)).is_err());
        let pending = sign_ins.0.lock().unwrap();
        assert_eq!(pending.len(), MOST_PENDING);
        let longest = pending.values().map(|sign_in| sign_in.description.len());
        assert_eq!(longest.max(), Some(LONGEST_DESCRIPTION));
    }
}
