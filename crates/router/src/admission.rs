//! Whether a request comes to an app, and on which terms: host, TLS, edge settings.
//!
//! One for both HTTP/1.1 and HTTP/2. It must not know how an answer is written. Read [`admit`].

use std::sync::Arc;

use api::{edge::Balancing, ids::AppId};
use http::HeaderValue;

use crate::{
    codes::Code,
    config::Timeouts,
    edge::{self, Affinity, Asked, Rules, Verdict},
    files::Files,
    lane::Lane,
    pages::Page,
    proxy::Peer,
    status,
    subject::Described,
    table::{App, Lease, Passage},
    wire::PageUrls,
};

/// A request that may go on to an app.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// Whose it is.
    pub(crate) app: AppId,
    /// `Strict-Transport-Security` of its answers.
    pub(crate) hsts: Option<HeaderValue>,
    /// Most apps ask for nothing.
    pub(crate) extras: Option<Box<Extras>>,
}

/// What an app asks of the router beyond routing, as far as it concerns a request.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    rules: Option<Arc<Rules>>,
    /// Another app answers: one of its hosts.
    pub(crate) host: Option<String>,
    /// Bytes of the path that the dyno does not see.
    pub(crate) stripped: usize,
    limits: edge::Limits,
    pages: Option<Arc<PageUrls>>,
    has_affinity: bool,
    /// What the client's cookie says.
    pub(crate) affinity: Option<Affinity>,
    /// Files that may answer in the place of a dyno.
    pub(crate) files: Option<Arc<Files>>,
    /// Whether the dynos that answer speak HTTP/2.
    pub(crate) speaks_h2c: bool,
}

/// Why a request does not go on to an app.
#[derive(Debug)]
pub(crate) enum Refused {
    /// An answer for a certificate authority.
    Challenge(String),
    Page(Page),
    /// Its connection was made for another app's host, whose clients are checked in another way.
    Misdirected(AppId),
    /// The app wants it over HTTPS.
    ToHttps(AppId),
    /// The app's edge settings say so.
    Edge(AppId, edge::Refused),
    /// It is for the status page.
    Status(Box<status::Answer>),
}

/// What is known of a request's body before any of it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announced {
    Bytes(u64),
    /// It is counted on its way.
    Counted,
}

/// A request as it is looked at here.
pub(crate) struct Arrival<'a, F> {
    pub(crate) described: Described<'a>,
    pub(crate) peer: &'a Peer,
    pub(crate) body: Announced,
    /// The value of a header; asked for few requests.
    pub(crate) field: F,
}

/// The app that a request comes to, or why it does not.
pub(crate) fn admit<'a, F>(lane: &Lane, arrival: &Arrival<'a, F>) -> Result<Admitted, Refused>
where
    F: Fn(&str) -> Option<&'a [u8]>,
{
    let Described { host, path, .. } = arrival.described;
    let path = path.split('?').next().unwrap_or_default();
    if let Some(answer) = lane.routes.shared.certificates.answer(path) {
        return Err(Refused::Challenge(answer));
    }
    if lane.board.is_at(host) {
        let now = lane.clock.now();
        let answer = lane.board.answer(arrival.described, &arrival.field, now);
        return Err(Refused::Status(Box::new(answer)));
    }
    let table = lane.routes.table();
    let Some(app) = table.find(host) else {
        // Before the first table nobody knows whether there is such an app.
        return Err(Refused::Page(if table.version == 0 {
            Page::Failed(Code::H99)
        } else {
            Page::NoSuchApp
        }));
    };
    match app.secure.passage(app.id, arrival.peer, path) {
        Passage::Open => {}
        Passage::Redirect => return Err(Refused::ToHttps(app.id)),
        Passage::Misdirected => return Err(Refused::Misdirected(app.id)),
    }
    let mut admitted = Admitted {
        app: app.id,
        hsts: app.secure.hsts(arrival.peer).cloned(),
        extras: None,
    };
    if app.is_plain() {
        return Ok(admitted);
    }
    let now_ms = lane.routes.shared.elapsed_ms();
    let mut extras =
        Extras::judge(app, arrival, now_ms).map_err(|refused| Refused::Edge(app.id, refused))?;
    let other = extras.host.as_deref().map(|host| table.find(host));
    match other {
        Some(Some(other)) => {
            admitted.app = other.id;
            extras.speaks_h2c = other.speaks_h2c();
        }
        // Its app is gone.
        Some(None) => (extras.host, extras.stripped) = (None, 0),
        None => {}
    }
    admitted.extras = Some(Box::new(extras));
    Ok(admitted)
}

impl Extras {
    fn judge<'a, F>(app: &App, arrival: &Arrival<'a, F>, now_ms: u64) -> Result<Self, edge::Refused>
    where
        F: Fn(&str) -> Option<&'a [u8]>,
    {
        let mut extras = Self {
            rules: app.rules.clone(),
            pages: app.pages.clone(),
            has_affinity: app.has_affinity,
            speaks_h2c: app.speaks_h2c(),
            ..Self::default()
        };
        if app.has_affinity {
            extras.affinity = (arrival.field)("cookie").and_then(Affinity::in_cookies);
        }
        let Some(rules) = &app.rules else {
            return Ok(extras);
        };
        let Described { host, path, .. } = arrival.described;
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        let asked = Asked {
            client: arrival.peer.address,
            host,
            path,
            query,
            authorization: (arrival.field)("authorization"),
        };
        match rules.judge(&asked, now_ms) {
            Verdict::Pass => {}
            Verdict::Elsewhere(elsewhere) => {
                extras.host = Some(elsewhere.host);
                extras.stripped = elsewhere.stripped;
            }
            Verdict::Answer(refused) => return Err(refused),
        }
        if extras.host.is_none() && matches!(arrival.described.method, "GET" | "HEAD") {
            extras.files = app.files().filter(|files| files.covers(path)).cloned();
        }
        extras.limits = rules.limits(path);
        match (rules.max_body_bytes, arrival.body) {
            (Some(most), Announced::Bytes(bytes)) if bytes > most => Err(edge::Refused::Body),
            _ => Ok(extras),
        }
    }

    /// Whether the app asks for what goes beyond carrying bytes.
    pub(crate) fn asks_much(&self, is_upgrade: bool) -> bool {
        self.speaks_h2c || (!is_upgrade && (self.compresses() || self.files.is_some()))
    }

    /// Whether responses are compressed.
    pub(crate) fn compresses(&self) -> bool {
        self.rules.as_ref().is_some_and(|rules| rules.compress)
    }

    /// How long a body may be.
    pub(crate) fn max_body_bytes(&self) -> Option<u64> {
        self.rules.as_ref().and_then(|rules| rules.max_body_bytes)
    }

    /// Whether so many bytes of a body are too many.
    pub(crate) fn is_too_long(&self, bytes: u64) -> bool {
        self.max_body_bytes().is_some_and(|most| bytes > most)
    }

    /// The times that a dyno has.
    pub(crate) fn timeouts(&self, mut timeouts: Timeouts) -> Timeouts {
        timeouts.first_byte = self.limits.first_byte.unwrap_or(timeouts.first_byte);
        timeouts.rolling = self.limits.idle.unwrap_or(timeouts.rolling);
        timeouts
    }

    /// What becomes of the request's headers.
    pub(crate) fn request_headers(&self) -> Option<&edge::HeaderChanges> {
        let changes = self.rules.as_ref().map(|rules| &rules.request_headers);
        changes.filter(|changes| !changes.is_empty())
    }

    /// What becomes of the response's.
    pub(crate) fn response_headers(&self) -> Option<&edge::HeaderChanges> {
        let changes = self.rules.as_ref().map(|rules| &rules.response_headers);
        changes.filter(|changes| !changes.is_empty())
    }

    /// The cookie that brings the client back to its dyno, if it has another or none.
    pub(crate) fn set_cookie(&self, lease: &Lease, is_secure: bool) -> Option<String> {
        let dyno = Affinity::of(lease.backend().dyno);
        let is_new = self.has_affinity && self.affinity != Some(dyno);
        is_new.then(|| dyno.set_cookie(is_secure))
    }

    /// The app's own page in the place of one of ours.
    pub(crate) fn page_url(&self, code: Code) -> Option<&str> {
        let pages = self.pages.as_ref()?;
        let url = match code {
            Code::H80 => &pages.maintenance,
            _ => &pages.error,
        };
        url.as_deref()
    }

    /// Whether any healthy dyno is as good as another.
    pub(crate) fn is_random(&self) -> bool {
        let balancing = self.rules.as_ref().map(|rules| rules.balancing);
        balancing == Some(Balancing::Random)
    }
}
