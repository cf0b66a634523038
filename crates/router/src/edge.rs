//! Edge settings at work: what an app asks of the router beyond routing, decided per request.
//!
//! It must not know connections, and does nothing: [`Rules::judge`] says what shall become of a
//! request, whoever carries the request does it. Read [`Rules`], then [`Verdict`].

mod affinity;
mod headers;
mod passwords;
mod paths;
mod rates;
mod redirects;

use std::{net::IpAddr, sync::Arc, time::Duration};

use api::{
    edge::{Balancing, DynoProtocol, Edge, Network},
    names::AppName,
};
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{LOCATION, RETRY_AFTER, WWW_AUTHENTICATE},
};

pub(crate) use self::{
    affinity::Affinity,
    headers::{HeaderChanges, changed_head},
    paths::Prefixes,
};
use self::{
    passwords::Passwords,
    rates::{AppRate, ClientRates},
    redirects::Redirects,
};
use crate::{
    pages::{Denied, Page},
    wire::AppExtras,
};

/// An app's edge settings, ready to be asked. It outlives the tables that name it as long as the
/// settings stay, so that what clients have used up is not forgotten with each new table.
#[derive(Debug)]
pub(crate) struct Rules {
    /// What they were made of.
    edge: Edge,
    elsewhere: Vec<crate::wire::PathRoute>,
    allow: Vec<Network>,
    deny: Vec<Network>,
    per_client: Option<ClientRates>,
    per_app: Option<AppRate>,
    redirects: Redirects,
    passwords: Option<Passwords>,
    routes: Prefixes<Elsewhere>,
    timeouts: Prefixes<Limits>,
    pub(crate) request_headers: HeaderChanges,
    pub(crate) response_headers: HeaderChanges,
    pub(crate) max_body_bytes: Option<u64>,
    pub(crate) balancing: Balancing,
    pub(crate) compress: bool,
    pub(crate) dyno_protocol: DynoProtocol,
}

/// How long a dyno may take; `None` as for every app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) first_byte: Option<Duration>,
    pub(crate) idle: Option<Duration>,
}

/// Another app that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    /// One of its host names.
    pub(crate) host: String,
    /// How many bytes of the path that app does not see.
    pub(crate) stripped: usize,
}

/// What is looked at of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) client: IpAddr,
    /// Lower case, without port.
    pub(crate) host: &'a str,
    /// Without query.
    pub(crate) path: &'a str,
    /// Without question mark.
    pub(crate) query: Option<&'a str>,
    pub(crate) authorization: Option<&'a [u8]>,
}

/// What shall become of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes to a dyno of the app.
    Pass,
    /// It goes to a dyno of another app.
    Elsewhere(Elsewhere),
    /// It goes nowhere.
    Answer(Refused),
}

/// An answer of the edge itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// 403: its address may not come.
    Address,
    /// 429: too many of them; seconds until the next may come.
    Rate { retry_after_seconds: u64 },
    /// 401: no password, or a wrong one; the challenge to show.
    Password { challenge: String },
    /// Sent to another address.
    Redirect { status: u16, location: String },
    /// 413: its body is too long.
    Body,
}

impl Refused {
    /// The answer's status.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Address => StatusCode::FORBIDDEN,
            Self::Rate { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Password { .. } => StatusCode::UNAUTHORIZED,
            Self::Redirect { status, .. } => {
                StatusCode::from_u16(*status).unwrap_or(StatusCode::FOUND)
            }
            Self::Body => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }

    /// The header that goes with it.
    pub(crate) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        let (name, value) = match self {
            Self::Rate {
                retry_after_seconds,
            } => (RETRY_AFTER, HeaderValue::from(*retry_after_seconds)),
            Self::Password { challenge } => {
                (WWW_AUTHENTICATE, HeaderValue::try_from(challenge).ok()?)
            }
            Self::Redirect { location, .. } => (LOCATION, HeaderValue::try_from(location).ok()?),
            Self::Address | Self::Body => return None,
        };
        Some((name, value))
    }

    /// The page that tells of it; a redirect needs none.
    pub(crate) fn page(&self) -> Option<Page> {
        Some(Page::Edge(match self {
            Self::Redirect { .. } => return None,
            Self::Address => Denied::Address,
            Self::Rate { .. } => Denied::Rate,
            Self::Password { .. } => Denied::Password,
            Self::Body => Denied::Body,
        }))
    }
}

/// The hash of a password as [`api::edge::EdgeUser::password_hash`] holds it after the salt and `$`.
pub fn edge_password_hash(salt: &str, password: &str) -> String {
    passwords::hash(salt, password)
}

/// Whether it is the name of a header that an app may have changed.
pub fn is_header(name: &str) -> bool {
    headers::changeable(name).is_some()
}

/// Whether a header may have it as its value.
pub fn is_header_value(value: &str) -> bool {
    HeaderValue::try_from(value).is_ok()
}

impl Rules {
    /// The rules of an app; those of `former` where nothing has changed. `None` for an app that
    /// asks for nothing.
    pub(crate) fn build(
        extras: &AppExtras,
        app: &AppName,
        former: Option<&Arc<Self>>,
    ) -> Option<Arc<Self>> {
        if extras.edge.is_default() && extras.paths.is_empty() {
            return None;
        }
        let is_same =
            |former: &&Arc<Self>| former.edge == extras.edge && former.elsewhere == extras.paths;
        if let Some(former) = former.filter(is_same) {
            return Some(Arc::clone(former));
        }
        Some(Arc::new(Self::of(extras, app)))
    }

    fn of(extras: &AppExtras, app: &AppName) -> Self {
        let edge = extras.edge.clone();
        let seconds = |seconds: Option<u32>| seconds.map(|s| Duration::from_secs(s.into()));
        let timeouts = edge.timeouts.iter().map(|at| {
            let limits = Limits {
                first_byte: seconds(at.first_byte_seconds),
                idle: seconds(at.idle_seconds),
            };
            (at.prefix.clone(), limits)
        });
        let elsewhere = extras.paths.iter().map(|at| {
            let stripped = if at.strip {
                at.prefix.trim_end_matches('/').len()
            } else {
                0
            };
            let elsewhere = Elsewhere {
                host: at.host.clone(),
                stripped,
            };
            (at.prefix.clone(), elsewhere)
        });
        let auth = edge.basic_auth.as_ref();
        Self {
            allow: edge.allow.clone(),
            deny: edge.deny.clone(),
            per_client: edge.rate_limits.per_client.map(ClientRates::new),
            per_app: edge.rate_limits.per_app.map(AppRate::new),
            redirects: Redirects::new(&edge.redirects),
            passwords: auth.map(|auth| Passwords::new(auth, app.as_str())),
            routes: Prefixes::new(elsewhere),
            timeouts: Prefixes::new(timeouts),
            request_headers: HeaderChanges::new(&edge.request_headers),
            response_headers: HeaderChanges::new(&edge.response_headers),
            max_body_bytes: edge.max_body_bytes,
            balancing: edge.balancing,
            compress: edge.compress,
            dyno_protocol: edge.dyno_protocol,
            elsewhere: extras.paths.clone(),
            edge,
        }
    }

    /// What shall become of a request that came `now_ms` after the router started. In this order:
    /// who may come, how often, to which address, with which password, to which app.
    pub(crate) fn judge(&self, asked: &Asked<'_>, now_ms: u64) -> Verdict {
        if !self.admits(asked.client) {
            return Verdict::Answer(Refused::Address);
        }
        let per_client = self.per_client.as_ref();
        let per_app = self.per_app.as_ref();
        let taken = per_client
            .map_or(Ok(()), |rates| rates.take(asked.client, now_ms))
            .and_then(|()| per_app.map_or(Ok(()), |rate| rate.take(now_ms)));
        if let Err(wait) = taken {
            let retry_after_seconds = wait.as_secs().max(1);
            return Verdict::Answer(Refused::Rate {
                retry_after_seconds,
            });
        }
        if let Some((status, location)) = self.redirects.find(asked) {
            return Verdict::Answer(Refused::Redirect { status, location });
        }
        if let Some(passwords) = &self.passwords
            && let Err(challenge) = passwords.check(asked.path, asked.authorization)
        {
            return Verdict::Answer(Refused::Password { challenge });
        }
        match self.routes.find(asked.path) {
            Some(elsewhere) => Verdict::Elsewhere(elsewhere.clone()),
            None => Verdict::Pass,
        }
    }

    /// How long a dyno may take over a path.
    pub(crate) fn limits(&self, path: &str) -> Limits {
        self.timeouts.find(path).copied().unwrap_or_default()
    }

    fn admits(&self, client: IpAddr) -> bool {
        let is_in = |networks: &[Network]| networks.iter().any(|network| network.contains(client));
        !is_in(&self.deny) && (self.allow.is_empty() || is_in(&self.allow))
    }
}
