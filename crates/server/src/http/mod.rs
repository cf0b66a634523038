//! The Platform API over HTTP: one table of routes, one guard, thin handlers.
//!
//! It must not decide anything: handlers say in the API's words what the platform answers. Read
//! [`table`], then [`route`]; one file per resource. Others mount [`routes`].

mod accounts;
mod acm;
mod app_features;
mod app_transfers;
mod apps;
mod authenticate;
mod authorizations;
mod build_records;
mod build_settings;
mod buildpack_installations;
mod buildpack_registry;
mod builds;
mod collaborators;
mod config_vars;
mod delinquency;
mod domains;
mod dyno_sizes;
mod dynos;
mod edge;
mod error;
mod etag;
mod extract;
mod formations;
mod generations;
mod headers;
mod health_checks;
mod images;
mod inside;
mod keys;
mod log_drains;
mod log_sessions;
mod oauth_clients;
mod oauth_tokens;
mod pages;
mod password_resets;
mod pipeline_couplings;
mod pipeline_promotions;
mod pipelines;
mod published;
mod range;
mod rate_limits;
mod regions;
mod registry;
mod releases;
mod route;
mod sign_in;
mod sleep;
mod slugs;
mod sni_endpoints;
mod source_hooks;
mod source_repositories;
mod sources;
mod stacks;
mod status;
mod status_notes;
mod streams;
mod team_apps;
mod team_features;
mod team_invitations;
mod team_members;
mod teams;
mod two_factors;
mod vacant;

use std::sync::Arc;

use axum::{Router, extract::FromRef, middleware::from_fn};
use platform::Platform;
use tokio::sync::Semaphore;

pub use self::{
    authenticate::{InProcess, ShownKey},
    error::Refusal,
    rate_limits::RateLimits,
};
use self::{route::Route, sign_in::SignIns};

/// Requests per hour and account, unless configured otherwise. Heroku allows 4500; here the
/// dashboard and tools share the machine with nobody.
const REQUESTS_PER_HOUR: u32 = 36_000;
/// Wrong or right passwords per email address and hour.
const SIGN_INS_PER_HOUR: u32 = 30;
/// The same per address they come from: many people may sit behind one.
const SIGN_INS_PER_ORIGIN: u32 = 300;
/// Deliveries of one hook an hour, those of other branches and events included.
const DELIVERIES_PER_HOUR: u32 = 300;
/// The same of one address, which may send for many repositories.
const DELIVERIES_PER_ORIGIN: u32 = 3000;
/// Codes of a second factor, right or wrong, per account and hour.
const CODES_PER_HOUR: u32 = 12;
/// Passwords checked at once: each takes a processor for a good part of a second.
const PASSWORDS_AT_ONCE: usize = 2;

/// What every handler may use. Cloning shares it.
#[derive(Clone)]
pub struct HttpState {
    platform: Platform,
    requests: Arc<RateLimits>,
    /// Attempts at passwords, by email address.
    sign_ins: Arc<RateLimits>,
    /// The same, by where they come from.
    sign_in_origins: Arc<RateLimits>,
    /// What code hosts deliver, by hook.
    hooks: Arc<RateLimits>,
    /// The same, by where it comes from, signed or not.
    hook_origins: Arc<RateLimits>,
    /// Codes of second factors that were tried, by account.
    codes: Arc<RateLimits>,
    checking_passwords: Arc<Semaphore>,
    browser_sign_ins: SignIns,
}

impl HttpState {
    /// For one platform.
    pub fn new(platform: Platform) -> Self {
        Self {
            platform,
            requests: Arc::new(RateLimits::new(REQUESTS_PER_HOUR, 3600)),
            sign_ins: Arc::new(RateLimits::new(SIGN_INS_PER_HOUR, 3600)),
            sign_in_origins: Arc::new(RateLimits::new(SIGN_INS_PER_ORIGIN, 3600)),
            hooks: Arc::new(RateLimits::new(DELIVERIES_PER_HOUR, 3600)),
            hook_origins: Arc::new(RateLimits::new(DELIVERIES_PER_ORIGIN, 3600)),
            codes: Arc::new(RateLimits::new(CODES_PER_HOUR, 3600)),
            checking_passwords: Arc::new(Semaphore::new(PASSWORDS_AT_ONCE)),
            browser_sign_ins: SignIns::default(),
        }
    }
}

impl FromRef<HttpState> for Platform {
    fn from_ref(state: &HttpState) -> Self {
        state.platform.clone()
    }
}

/// Every route of the API.
pub fn table() -> Vec<Route> {
    [
        accounts::routes(),
        acm::routes(),
        app_features::routes(),
        app_transfers::routes(),
        apps::routes(),
        authorizations::routes(),
        build_records::routes(),
        build_settings::routes(),
        builds::routes(),
        buildpack_installations::routes(),
        buildpack_registry::routes(),
        collaborators::routes(),
        config_vars::routes(),
        delinquency::routes(),
        domains::routes(),
        dyno_sizes::routes(),
        dynos::routes(),
        edge::routes(),
        formations::routes(),
        generations::routes(),
        health_checks::routes(),
        images::routes(),
        inside::routes(),
        keys::routes(),
        log_drains::routes(),
        log_sessions::routes(),
        pipeline_couplings::routes(),
        pipeline_promotions::routes(),
        pipelines::routes(),
        published::routes(),
        oauth_clients::routes(),
        oauth_tokens::routes(),
        password_resets::routes(),
        rate_limits::routes(),
        regions::routes(),
        registry::routes(),
        releases::routes(),
        sign_in::routes(),
        sleep::routes(),
        slugs::routes(),
        sni_endpoints::routes(),
        source_hooks::routes(),
        source_repositories::routes(),
        sources::routes(),
        stacks::routes(),
        status::routes(),
        status_notes::routes(),
        streams::routes(),
        team_apps::routes(),
        team_features::routes(),
        team_invitations::routes(),
        team_members::routes(),
        teams::routes(),
        two_factors::routes(),
        vacant::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The whole API. Requests should carry `ConnectInfo<SocketAddr>`, or [`InProcess`].
pub fn routes(state: HttpState) -> Router {
    serve(table(), state)
}

/// These routes, each behind its guard.
pub fn serve(routes: Vec<Route>, state: HttpState) -> Router {
    routes
        .into_iter()
        .fold(Router::new(), |router, route| {
            route.register(router, &state)
        })
        .fallback(unknown)
        .layer(from_fn(etag::revalidate))
        .layer(from_fn(headers::common))
        .with_state(state)
}

async fn unknown() -> Refusal {
    Refusal::UnknownEndpoint
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use platform::authorize::{Action, Kind};

    use super::*;

    #[test]
    fn a_route_is_about_the_first_thing_that_its_path_names() {
        for route in table() {
            let place = |kind: Kind| {
                let parameter = format!("{{{}}}", kind.parameter());
                Some((route.path.find(&parameter)?, kind))
            };
            let first = Kind::ALL.into_iter().filter_map(place).min();
            let (method, path) = (&route.method, route.path);
            assert_eq!(
                first.map(|(_, kind)| kind),
                route.action.about(),
                "{method} {path}"
            );
        }
    }

    #[test]
    fn public_routes_are_these() {
        let public: BTreeSet<String> = table()
            .iter()
            .filter(|route| route.action.is_public())
            .map(|route| format!("{} {}", route.method, route.path))
            .collect();
        insta::assert_snapshot!(public.into_iter().collect::<Vec<_>>().join("\n"), @r"
        GET /api/v4/current-status
        GET /auth/browser/{id}
        GET /auth/cli/{id}
        GET /buildpacks
        GET /buildpacks/{name}
        GET /buildpacks/{name}/readme
        GET /buildpacks/{name}/revisions
        GET /invitations/{token}
        GET /logs/{session}/{secret}
        GET /password-resets/{token}
        GET /schema
        GET /slugs/{slug}/{secret}
        GET /sources/{source}/{secret}
        GET /streams/{id}/{secret}
        POST /auth
        POST /auth/browser/{id}
        POST /hooks/{name}/{hook}
        POST /invitations/{token}
        POST /oauth/tokens
        POST /password-resets
        POST /password-resets/{token}
        POST /password-resets/{token}/actions/finalize
        PUT /slugs/{slug}/{secret}
        PUT /sources/{source}/{secret}
        ");
    }

    /// What is asked for by a word in a body, of a route that is about something else.
    const IN_BODIES: &[Action] = &[Action::CreateTeamApp];

    #[test]
    fn every_action_has_a_route() {
        let mut used: Vec<Action> = table().iter().map(|route| route.action).collect();
        used.extend(IN_BODIES);
        let unused: Vec<_> = Action::ALL
            .iter()
            .filter(|action| !used.contains(action))
            .collect();
        assert!(unused.is_empty(), "{unused:?}");
    }
}
