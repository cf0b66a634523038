//! The status page: what the router sees of itself, the control plane and the apps that want to be
//! on it, remembered over restarts, served by every lane at a host of its own, server or not.
//!
//! It must not touch a request to an app. [`Watcher`] looks around on the control plane's thread and
//! keeps what it saw; [`Board`] answers from that, on any thread. What is decided is decided in pure
//! functions: [`judge`] (how something is), [`incidents`], [`days`], [`report`] (what may be said).

mod atom;
mod days;
mod heroku;
mod history;
mod incidents;
mod journal;
mod judge;
mod model;
mod page;
mod record;
mod report;
mod watcher;
mod window;
mod words;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::clock::Time;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::HeaderName};
use http_body_util::Full;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

pub(crate) use self::watcher::Watcher;
use self::{
    model::{Model, Sight},
    record::Record,
};
use crate::{
    config::StatusConfig, pages::Accept, proxy::ReplyBody, subject::Described,
    wire::entry::fingerprint,
};

/// If the router has not looked around for so long, what it says is old, and it says so.
const STALE: Duration = Duration::from_secs(30);
/// What is old is told anew, with its age, this often.
const TOLD_ANEW: Duration = Duration::from_secs(1);

/// What all lanes answer from.
#[derive(Debug)]
pub(crate) struct Board {
    /// The page's host names; the first is what it is called.
    hosts: Vec<String>,
    url: String,
    security: String,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    model: Model,
    looked_at: Instant,
    /// What was last made of each, and of which sight: it is made at most once a sight.
    made: [Option<Made>; 4],
}

#[derive(Clone, Debug)]
struct Made {
    sights: u64,
    is_stale: bool,
    at: Instant,
    body: Bytes,
    tag: String,
}

/// What the page can be had as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Html,
    Json,
    Atom,
    Heroku,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

impl Board {
    fn new(config: &StatusConfig, model: Model) -> Self {
        let style = STANDARD.encode(Sha256::digest(page::STYLE));
        Self {
            hosts: config.hosts.clone(),
            url: config.url.clone(),
            security: format!(
                "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; \
                 frame-ancestors 'none'"
            ),
            inner: Mutex::new(Inner {
                model,
                looked_at: Instant::now(),
                made: [const { None }; 4],
            }),
        }
    }

    /// Whether the page is at this host: lower case, without port.
    pub(crate) fn is_at(&self, host: &str) -> bool {
        self.hosts.iter().any(|at| at == host)
    }

    /// Answers a request to one of its hosts.
    pub(crate) fn answer<'a>(
        &self,
        asked: Described<'_>,
        field: impl Fn(&str) -> Option<&'a [u8]>,
        now: Time,
    ) -> Answer {
        if !["GET", "HEAD"].contains(&asked.method) {
            let fields = vec![("allow", "GET, HEAD".to_owned())];
            return text(
                StatusCode::METHOD_NOT_ALLOWED,
                "Only GET and HEAD.\n",
                fields,
            );
        }
        let path = asked.path.split('?').next().unwrap_or_default();
        let form = match path {
            "/" => match Accept::of_values(field("accept").into_iter()) {
                Accept::Html => Form::Html,
                Accept::Json => Form::Json,
            },
            "/status.json" => Form::Json,
            "/incidents.atom" => Form::Atom,
            "/api/v4/current-status" => Form::Heroku,
            _ => {
                let words = "There is nothing here; the status page is at /.\n";
                return text(StatusCode::NOT_FOUND, words, Vec::new());
            }
        };
        let Made { body, tag, .. } = self.made(form, now);
        let known = field("if-none-match").and_then(|value| std::str::from_utf8(value).ok());
        let is_known = known.is_some_and(|known| known.split(',').any(|at| at.trim() == tag));
        let mut fields = vec![
            ("etag", tag),
            ("cache-control", "public, max-age=5".to_owned()),
            ("vary", "accept".to_owned()),
        ];
        if is_known {
            let (status, body) = (StatusCode::NOT_MODIFIED, Bytes::new());
            return Answer {
                status,
                fields,
                body,
            };
        }
        fields.extend([
            ("content-type", form.media_type().to_owned()),
            ("content-security-policy", self.security.clone()),
            ("x-content-type-options", "nosniff".to_owned()),
            ("referrer-policy", "no-referrer".to_owned()),
        ]);
        if form != Form::Html {
            // It is for everybody, also for pages elsewhere.
            fields.push(("access-control-allow-origin", "*".to_owned()));
        }
        Answer {
            status: StatusCode::OK,
            fields,
            body,
        }
    }

    fn made(&self, form: Form, now: Time) -> Made {
        let mut inner = self.lock();
        let Inner {
            model,
            looked_at,
            made,
        } = &mut *inner;
        let is_stale = looked_at.elapsed() >= STALE;
        let is_good = |made: &Made| {
            let is_same = made.sights == model.sights && made.is_stale == is_stale;
            is_same && (!is_stale || made.at.elapsed() < TOLD_ANEW)
        };
        let place = made.get_mut(form as usize);
        if let Some(Some(made)) = &place
            && is_good(made)
        {
            return made.clone();
        }
        let status = report::report(model, now, is_stale);
        let body = match form {
            Form::Html => page::html(&status, self.hosts.first().map_or("", String::as_str)),
            Form::Json => json(&status),
            Form::Atom => atom::feed(&status, &self.url),
            Form::Heroku => json(&heroku::current(&status, &self.url)),
        };
        let new = Made {
            sights: model.sights,
            is_stale,
            at: Instant::now(),
            tag: format!("\"{:016x}\"", fingerprint(body.as_bytes())),
            body: Bytes::from(body),
        };
        if let Some(place) = place {
            *place = Some(new.clone());
        }
        new
    }

    /// Takes what is seen now. Returns what is to be kept.
    fn observe(&self, sight: Sight, now: Time) -> Vec<Record> {
        let mut inner = self.lock();
        inner.looked_at = Instant::now();
        inner.model.observe(sight, now)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Form {
    fn media_type(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Json | Self::Heroku => "application/json",
            Self::Atom => "application/atom+xml; charset=utf-8",
        }
    }
}

impl Answer {
    /// For HTTP/2.
    pub(crate) fn into_response(self, is_head: bool) -> Response<ReplyBody> {
        let length = HeaderValue::from(self.body.len());
        let body = if is_head { Bytes::new() } else { self.body };
        let mut response = Response::new(ReplyBody::Page(Full::new(body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        for (name, value) in self.fields {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        if is_head {
            headers.insert(http::header::CONTENT_LENGTH, length);
        }
        response
    }
}

fn json(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_string_pretty(value);
    text.expect("plain values are always JSON") + "\n"
}

fn text(
    status: StatusCode,
    words: &'static str,
    mut fields: Vec<(&'static str, String)>,
) -> Answer {
    fields.push(("content-type", "text/plain; charset=utf-8".to_owned()));
    fields.push(("cache-control", "no-store".to_owned()));
    Answer {
        status,
        fields,
        body: Bytes::from_static(words.as_bytes()),
    }
}
