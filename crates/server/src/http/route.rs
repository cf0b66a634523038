//! One line of the route table, and the guard that every request passes on its way to a handler.
//!
//! A [`Route`] cannot be made without an [`Action`], and only [`Route::register`] turns it into
//! something that serves, with the guard around it: a route without a rule does not compile.

use axum::{
    RequestExt, Router,
    extract::{RawPathParams, Request, State},
    handler::Handler,
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::{MethodFilter, MethodRouter, on},
};
use http::{HeaderValue, Method};
use platform::authorize::{Action, Subject, Target};

use super::{
    HttpState,
    authenticate::{self, Asking},
    error::Refusal,
    headers::RequestId,
};

/// A method, a path, what it does to what, and who does the work.
pub struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) action: Action,
    handler: MethodRouter<HttpState>,
}

impl Route {
    fn new<H, T>(method: Method, path: &'static str, action: Action, handler: H) -> Self
    where
        H: Handler<T, HttpState>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).expect("the five methods below");
        Self {
            method,
            path,
            action,
            handler: on(filter, handler),
        }
    }

    pub(super) fn get<H, T>(path: &'static str, action: Action, handler: H) -> Self
    where
        H: Handler<T, HttpState>,
        T: 'static,
    {
        Self::new(Method::GET, path, action, handler)
    }

    pub(super) fn post<H, T>(path: &'static str, action: Action, handler: H) -> Self
    where
        H: Handler<T, HttpState>,
        T: 'static,
    {
        Self::new(Method::POST, path, action, handler)
    }

    pub(super) fn patch<H, T>(path: &'static str, action: Action, handler: H) -> Self
    where
        H: Handler<T, HttpState>,
        T: 'static,
    {
        Self::new(Method::PATCH, path, action, handler)
    }

    pub(super) fn put<H, T>(path: &'static str, action: Action, handler: H) -> Self
    where
        H: Handler<T, HttpState>,
        T: 'static,
    {
        Self::new(Method::PUT, path, action, handler)
    }

    pub(super) fn delete<H, T>(path: &'static str, action: Action, handler: H) -> Self
    where
        H: Handler<T, HttpState>,
        T: 'static,
    {
        Self::new(Method::DELETE, path, action, handler)
    }

    /// Its method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Its path, with `{app}` and other parameters.
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// Whether it needs no token.
    pub fn is_public(&self) -> bool {
        self.action.is_public()
    }

    /// The same route with another answer behind its guard, for tests that ask only the guard.
    #[must_use]
    pub fn answering<H, T>(self, handler: H) -> Self
    where
        H: Handler<T, HttpState>,
        T: 'static,
    {
        Self::new(self.method, self.path, self.action, handler)
    }

    /// Adds the route, guarded, to a router.
    pub(super) fn register(
        self,
        router: Router<HttpState>,
        state: &HttpState,
    ) -> Router<HttpState> {
        let guarded = Guarded {
            state: state.clone(),
            action: self.action,
        };
        router.route(
            self.path,
            self.handler.layer(from_fn_with_state(guarded, guard)),
        )
    }
}

#[derive(Clone)]
struct Guarded {
    state: HttpState,
    action: Action,
}

/// Authenticates, finds what the path names, authorizes, counts, and only then calls the handler,
/// with the caller and what was found in the request's extensions.
async fn guard(
    State(Guarded { state, action }): State<Guarded>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    if action.is_public() {
        state
            .platform
            .authorize(None, action, Target::Platform)
            .await?;
        return Ok(next.run(request).await);
    }
    let bearer = authenticate::bearer(&state, action, Asking::of(&request)?).await?;
    let account = bearer.caller.account;
    let platform = &state.platform;
    let subject = if let Some(identity) = named(&mut request, action).await? {
        Some(platform.admit(&bearer, action, &identity).await?)
    } else {
        let target = Target::Platform;
        platform.authorize(Some(&bearer), action, target).await?;
        None
    };
    let is_counted = action != Action::ReadRateLimit && !authenticate::is_in_process(&request);
    let remaining = state
        .requests
        .take(&account.to_string(), state.platform.now(), is_counted)?;
    let extensions = request.extensions_mut();
    match subject {
        Some(Subject::App(app)) => _ = extensions.insert(app),
        Some(Subject::Pipeline(pipeline)) => _ = extensions.insert(pipeline),
        Some(Subject::Team(team)) => _ = extensions.insert(team),
        None => {}
    }
    extensions.insert(bearer);
    let mut response = next.run(request).await;
    response
        .headers_mut()
        .insert("ratelimit-remaining", HeaderValue::from(remaining));
    Ok(response)
}

/// How the path names what the action is about. An action about something on a path that names none
/// is refused by `Platform::authorize`.
async fn named(request: &mut Request, action: Action) -> Result<Option<String>, Refusal> {
    let Some(kind) = action.about() else {
        return Ok(None);
    };
    let params = request
        .extract_parts::<RawPathParams>()
        .await
        .map_err(|_| Refusal::UnknownEndpoint)?;
    let found = params.iter().find(|(name, _)| *name == kind.parameter());
    Ok(found.map(|(_, identity)| identity.to_owned()))
}

/// What a change is caused by, for its event: `PATCH /apps/example`.
pub(super) fn cause(request: &Request) -> String {
    format!("{} {}", request.method(), request.uri().path())
}

/// The id that was given to this request.
pub(super) fn request_id(request: &Request) -> String {
    request
        .extensions()
        .get::<RequestId>()
        .map(|RequestId(id)| id.clone())
        .unwrap_or_default()
}
