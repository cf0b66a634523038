//! From the `Authorization` header to an account.
//!
//! `Bearer TOKEN`, or `Basic` whose password is the token whatever the user name says: git,
//! heroku-go and others send it so. Only making a token takes an account's password as well.

use std::{net::SocketAddr, sync::Arc};

use api::{authorizations::Scope, ids::AuthorizationId};
use axum::extract::{ConnectInfo, Request};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use platform::{
    Caller,
    authorize::{Action, Bearer},
};
use store::Account;

use super::{HttpState, error::Refusal, route, two_factors};

/// Marks a request of one of the server's own front doors, and says which: `git`.
#[derive(Clone, Copy, Debug)]
pub struct InProcess(pub &'static str);

/// Marks a request of the SSH front door, whose client has proved to hold the key with this
/// `SHA256:…` fingerprint. It is only ever put on requests inside this process.
#[derive(Clone, Debug)]
pub struct ShownKey(pub String);

/// Where the CLI puts the code that it asked for.
const CODE_HEADER: &str = "heroku-two-factor-code";

/// What a key opens: git, and no secrets.
const KEY_SCOPES: &[Scope] = &[Scope::Write];

/// What a request shows of who sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Credentials {
    Key(String),
    Token(String),
    Password { user: String, password: String },
}

/// What a request says of who sends it, taken out of it.
pub(super) struct Asking {
    credentials: Credentials,
    /// Of the second factor.
    code: Option<String>,
    origin: String,
    request_id: String,
    cause: String,
}

impl Asking {
    pub(super) fn of(request: &Request) -> Result<Self, Refusal> {
        let key = request.extensions().get::<ShownKey>();
        let credentials = match key {
            Some(ShownKey(sha256)) => Some(Credentials::Key(sha256.clone())),
            None => credentials(request.headers()),
        };
        Ok(Self {
            credentials: credentials.ok_or(Refusal::NoCredentials)?,
            code: request
                .headers()
                .get(CODE_HEADER)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned),
            origin: origin(request),
            request_id: route::request_id(request),
            cause: route::cause(request),
        })
    }

    fn into_bearer(
        self,
        account: Account,
        scopes: Vec<Scope>,
        authorization: Option<AuthorizationId>,
    ) -> Bearer {
        let caller = Caller {
            account: account.id,
            email: account.email,
            origin: self.origin,
            request_id: self.request_id,
            cause: self.cause,
        };
        Bearer {
            caller,
            scopes,
            authorization,
        }
    }
}

/// Who asks. The app is not looked at here.
pub(super) async fn bearer(
    state: &HttpState,
    action: Action,
    asking: Asking,
) -> Result<Bearer, Refusal> {
    let platform = &state.platform;
    let takes_password = action == Action::CreateAuthorization;
    let (user, secret) = match &asking.credentials {
        Credentials::Key(sha256) => {
            let holder = platform.key_holder(sha256).await?;
            let account = holder.ok_or(platform::Error::Unauthorized)?;
            return Ok(asking.into_bearer(account, KEY_SCOPES.to_vec(), None));
        }
        Credentials::Token(token) => (None, token),
        Credentials::Password { user, password } => (Some(user), password),
    };
    if let Some((account, grant)) = platform.token_holder(secret).await? {
        let is_named = user.is_none_or(|user| account.email.eq_ignore_ascii_case(user));
        if is_named || !takes_password {
            return Ok(asking.into_bearer(account, grant.scope, Some(grant.id)));
        }
    }
    let Some(user) = user.filter(|_| takes_password) else {
        return Err(platform::Error::Unauthorized.into());
    };
    let account = password_holder(state, (user, secret), &asking.origin).await?;
    let code = asking.code.clone();
    let asks_for_code = account.has_two_factor;
    let bearer = asking.into_bearer(account, vec![Scope::Global], None);
    if asks_for_code {
        check_code(state, &bearer.caller, code.as_deref().unwrap_or_default()).await?;
    }
    platform.note_sign_in(&bearer.caller).await?;
    Ok(bearer)
}

/// Takes a code of somebody whose password was right. None at all costs no try.
pub(super) async fn check_code(
    state: &HttpState,
    caller: &Caller,
    code: &str,
) -> Result<(), Refusal> {
    if code.trim().is_empty() {
        return Err(Refusal::TwoFactor);
    }
    two_factors::take_try(state, caller)?;
    match state.platform.check_two_factor(caller, code).await {
        Err(platform::Error::Invalid { .. }) => Err(Refusal::TwoFactor),
        checked => Ok(checked?),
    }
}

/// The account with this email address and password. Who guesses, and who only wants to keep the
/// processors busy, soon gets no further.
pub(super) async fn password_holder(
    state: &HttpState,
    (email, password): (&str, &str),
    origin: &str,
) -> Result<Account, Refusal> {
    let now = state.platform.now();
    state.sign_in_origins.take(origin, now, true)?;
    state
        .sign_ins
        .take(&email.to_ascii_lowercase(), now, true)?;
    let (platform, turns) = (
        state.platform.clone(),
        Arc::clone(&state.checking_passwords),
    );
    let (email, password) = (email.to_owned(), password.to_owned());
    // On its own: a client that goes away must not give its turn to another while its password is
    // being checked still.
    let checking = tokio::spawn(async move {
        let _turn = turns.acquire_owned().await;
        platform.password_holder(&email, &password).await
    });
    let account = checking.await.map_err(|_| platform::Error::Unauthorized)?;
    Ok(account?)
}

/// Whether the request comes from one of the server's own front doors.
pub(super) fn is_in_process(request: &Request) -> bool {
    request.extensions().get::<InProcess>().is_some()
}

/// Where a request comes from, for the record.
pub(super) fn origin(request: &Request) -> String {
    let extensions = request.extensions();
    if let Some(ShownKey(sha256)) = extensions.get::<ShownKey>() {
        return format!("ssh {sha256}");
    }
    if let Some(InProcess(door)) = extensions.get::<InProcess>() {
        return (*door).to_owned();
    }
    extensions.get::<ConnectInfo<SocketAddr>>().map_or_else(
        || "unknown".to_owned(),
        |ConnectInfo(address)| address.ip().to_string(),
    )
}

fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let header = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = header.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return (!rest.is_empty()).then(|| Credentials::Token(rest.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    (!password.is_empty()).then(|| Credentials::Password {
        user: user.to_owned(),
        password: password.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, expected: Option<&Credentials>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, header.parse().unwrap());
        assert_eq!(credentials(&headers).as_ref(), expected, "{header}");
    }

    #[test]
    fn every_form_of_credentials() {
        let password = |user: &str, password: &str| Credentials::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        };
        let token = Credentials::Token("abc".to_owned());
        let encoded = |text: &str| format!("Basic {}", STANDARD.encode(text));
        check("Bearer abc", Some(&token));
        check("bearer  abc ", Some(&token));
        check(&encoded("a@b.c:x:y"), Some(&password("a@b.c", "x:y")));
        check(
            &encoded(":token").replace("Basic", "basic"),
            Some(&password("", "token")),
        );
        for refused in ["", "Bearer", "Bearer ", "Basic !", "Basic YTo=", "Digest x"] {
            check(refused, None);
        }
    }
}
